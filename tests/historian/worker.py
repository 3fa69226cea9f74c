"""A historian in a process of its own, for tests that kill it. Sabotage: it commits positions before the data, as a careless sink would."""

import sys
import threading
import time
from pathlib import Path
from typing import Any

import psycopg

from trunkline.config.site import HistorianConfig
from trunkline.historian import role, writer
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Positions
from trunkline.log.topics import Layout


class EarlyCommit(writer.Writer):
    """Moves the log position on, and only then stores the data."""

    def _advance(self, cursor: psycopg.Cursor[Any], positions: Positions) -> None:
        with psycopg.connect(self._conninfo) as early:
            for place, position in positions.items():
                early.execute(
                    "UPDATE historian.position SET next_offset = %s WHERE topic = %s AND partition = %s",
                    (position, place.topic, place.partition),
                )
        time.sleep(0.02)


def main() -> None:
    journal, conninfo, sabotage = sys.argv[1:]
    vars(role)["_MAX_RECORDS"] = 3  # many small flushes
    if sabotage == "early":
        vars(role)["Writer"] = EarlyCommit
    config = HistorianConfig(flush_seconds=0.01, flush_readings=1, compact=False, rows=True)
    with Journal(Path(journal)) as log:
        role.run_historian(log, Layout("gateway", 1), conninfo, config, threading.Event())


if __name__ == "__main__":
    main()
