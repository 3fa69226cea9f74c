"""A roller in a process of its own that kills itself at a given point, for tests of kills.

The point is `store:N` (after rows were stored N times, in their open transaction), `commit:N` (after the N-th window was made) or
`append:N` (after the N-th append to the log, while the outbox still holds it); `never` ends in order. Sabotage: `unmark` deletes marks
before their results are stored, `tail` publishes without looking at what is there already.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from trunkline.config.rollups import RollupsConfig
from trunkline.historian.rollup import publishing, roller, table
from trunkline.historian.rollup.publishing import Outlet
from trunkline.historian.rollup.settings import Settings
from trunkline.historian.rollup.tiers import Tier
from trunkline.log.journal.journal import Journal

CONFIG = RollupsConfig.model_validate({"grace_seconds": 0, "repair_seconds": 0})
ZONE = ZoneInfo("Asia/Kolkata")
TOPICS = {Tier.MINUTE: "telemetry.1min", Tier.HOUR: "telemetry.1hour", Tier.DAY: "telemetry.1day"}


class UnmarkingFirst(roller.Roller):
    """Deletes the marks in a transaction of their own, and only then makes what they asked for."""

    def _make(self, connection: Any, window: Any, done: roller.Rolled) -> None:
        with connection.transaction():
            self._unmark(connection, window)
        super()._make(connection, window, done)


def dying(function: Callable[..., Any], after: int) -> Callable[..., Any]:
    """Return the function, ending this process at once after so many calls."""
    calls = 0

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        found = function(*args, **options)
        if calls == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    return counted


def main() -> None:
    journal, conninfo, now, point, sabotage = sys.argv[1:]
    place, _, count = point.partition(":")
    vars(roller)["_MOST_SERIES"] = 1  # many small transactions
    make: type[roller.Roller] = UnmarkingFirst if sabotage == "unmark" else roller.Roller
    if sabotage == "tail":
        vars(publishing)["last_published"] = lambda *_: 0
    if place == "store":
        setattr(table.Shelf, "store", dying(table.Shelf.store, int(count)))  # noqa: B010 - a method replaced on purpose
    if place == "commit":
        setattr(make, "_make", dying(make._make, int(count)))  # noqa: B010 - the same
    with Journal(Path(journal)) as log:
        if place == "append":
            setattr(log, "append", dying(log.append, int(count)))  # noqa: B010 - the same
        with make(conninfo, Settings(CONFIG), ZONE, Outlet(log, TOPICS)) as one:
            one.run_once(now=int(now))


if __name__ == "__main__":
    main()
