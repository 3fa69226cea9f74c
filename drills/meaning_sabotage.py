"""A role with a planted defect, for drills only: `python -m drills.meaning_sabotage DEFECT ROLE FILE …` as `trunkline run ROLE FILE …`."""

import sys
from dataclasses import replace
from typing import Any

from trunkline.cli.run import app
from trunkline.model import times


def lives_in_checkpoints() -> None:
    """Leave the alarms' lives to checkpoints: a kill forgets what came after the last."""
    from trunkline.processing.alarms.book import AlarmBook  # noqa: PLC0415 - only the role that has it

    AlarmBook.changed = lambda _: {}  # type: ignore[method-assign,assignment]


def commit_before_send() -> None:
    """Write 'delivered' down without sending, for every third request: as if killed between a commit that came first and the sending."""
    from trunkline.sinks.notify.webhook import WebhookSender  # noqa: PLC0415 - as above

    honest: Any = WebhookSender.send
    sent = 0

    def send(self: Any, *arguments: Any) -> Any:  # noqa: ANN401 - passed through
        nonlocal sent
        sent += 1
        return "not sent at all" if sent % 3 == 0 else honest(self, *arguments)

    WebhookSender.send = send  # type: ignore[method-assign,assignment]


def late_unmarked() -> None:
    """Mark no rollup for readings that come an hour late."""
    from trunkline.historian import rows  # noqa: PLC0415 - as above

    honest = rows.mark_rollups

    def mark(cursor: Any, prepared: Any) -> None:  # noqa: ANN401 - passed through
        fresh = prepared.flush.columns.time[prepared.sorted] > times.now() - times.HOUR
        honest(cursor, replace(prepared, sorted=prepared.sorted[fresh]))

    rows.mark_rollups = mark


DEFECTS = {"lives-in-checkpoints": lives_in_checkpoints, "commit-before-send": commit_before_send, "late-unmarked": late_unmarked}


if __name__ == "__main__":
    DEFECTS[sys.argv[1]]()
    app(args=sys.argv[2:])
