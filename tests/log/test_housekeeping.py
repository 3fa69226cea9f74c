"""The site log's housekeeper: what nobody needs goes, and the room it took goes back to the disk."""

import random
from pathlib import Path

from trunkline.log.housekeeping import tidy
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record, Topic, TopicPartition
from trunkline.model import times

MB = 1 << 20
AT = TopicPartition("a", 0)


def test_room_goes_back_to_the_disk_once_a_backlog_is_read_and_old(tmp_path: Path) -> None:
    """W-97, P-67: while a group has yet to read it, nothing goes; afterwards the file shrinks and keeps what is new."""
    path = tmp_path / "journal.db"
    with Journal(path) as site:
        site.create([Topic("a", 1, retention_us=times.HOUR)])
        for _ in range(20):
            site.append("a", [Record(random.randbytes(MB // 8), timestamp=times.now()) for _ in range(4)])
        with site.consumer("validate", ["a"], "worker-0") as consumer:
            consumer.commit({AT: 0})
            later = times.now() + 2 * times.HOUR
            full = site.space().file
            assert tidy(site, ("validate",), later) == 0
            assert site.space().file == full
            consumer.commit({AT: 77})
            assert tidy(site, ("validate",), later) == 76
        space = site.space()
        assert not space.wasteful
        assert path.stat().st_size == space.file < full
        assert [record.offset for record in site.read(AT, 0)] == list(range(76, 80))
        assert tidy(site, ("validate",), later) == 0
