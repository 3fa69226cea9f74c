"""Fixtures of the notification tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.notify.receivers import HttpReceiver, http_receiver
from tests.notify.support import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path)
    yield opened
    opened.log.close()


@pytest.fixture
def hook() -> Iterator[HttpReceiver]:
    with http_receiver() as receiver:
        yield receiver
