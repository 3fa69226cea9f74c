from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trunkline.config.site import LogConfig
from trunkline.log.journal.journal import Journal
from trunkline.log.opening import layout_of, open_edge_journal, open_site_log
from trunkline.log.port import Log
from trunkline.log.topics import Layout

CONFIG = LogConfig(partitions=3)


@pytest.fixture
def layout() -> Layout:
    return layout_of(CONFIG)


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Journal]:
    journal = open_edge_journal(CONFIG, tmp_path, "gw1")
    yield journal
    journal.close()


@pytest.fixture
def open_site(tmp_path: Path) -> Callable[[], Log]:
    return lambda: open_site_log(CONFIG, tmp_path)


@pytest.fixture
def site(open_site: Callable[[], Log]) -> Iterator[Log]:
    log = open_site()
    yield log
    log.close()
