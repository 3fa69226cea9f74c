"""Makes the behaviour suite importable however pytest is started; a busy machine fails no property."""

import sys
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parents[2]))
pytest.register_assert_rewrite("tests.log.behaviour")
settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")
