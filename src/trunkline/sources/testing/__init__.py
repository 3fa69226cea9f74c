"""The contract of sources as tests, for every package that brings a source plugin.

A test module of that package is two lines, and pytest with pytest-asyncio (`pip install 'trunkline[testing]'`) runs it:

    from trunkline.sources.testing.suite import *

    SOURCES = ("my-source",)

The package brings the device that is read: see `trunkline.sources.testing.rig`.
"""

import pytest

# before they are imported: a failing assert tells its values
pytest.register_assert_rewrite(f"{__name__}.conformance", f"{__name__}.rig")
