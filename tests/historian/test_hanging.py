"""A process that hangs in the middle of a transaction: to the server its connection is idle in one."""

import datetime as dt
import time

import pytest
from tests.historian.support import PLACE, Edge, flush_of, ramp

from trunkline.historian import db, statements
from trunkline.historian.writer import Writer
from trunkline.model.errors import RetryLater


def test_others_wait_no_longer_than_the_limit(conninfo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """P-115, PD-19: whatever it has locked, the server gives it back; the process is told when it goes on."""
    monkeypatch.setattr(db, "IDLE_SECONDS", 1.0)
    hanging = db.connect(conninfo, name="hangs")
    hanging.execute(statements.ENSURE_PARTITION, (dt.date(2020, 1, 1),))
    with Writer(conninfo) as writer:
        writer.take_over([PLACE])
        assert writer.write(flush_of([Edge().block(ramp("A", 5))])).stored == 5
    time.sleep(0.1)
    with pytest.raises(RetryLater), db.translated():
        hanging.execute("SELECT 1")
    hanging.close()
