"""A historian that ends or hangs at a chosen point of storing, for drills: `python -m drills.points FOLDER run… ` as `trunkline run…`.

The drill writes the name of a point and a signal into FOLDER/next; the historian takes the file away when it gets there, so each order is
carried out once. Points, in the order of a flush: 'before-store' (nothing has begun), 'before-copy' and 'after-copy' (in the transaction),
'after-commit' (the database has it, the writer has not heard), 'before-report' (the log has not been told the positions).

With `--unfenced` the writer does not look whether it was replaced: the planted defect that the checker has to notice.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any, Final, Literal

from trunkline.historian import statements, writer
from trunkline.log.kafka.consumer import KafkaConsumer

Point = Literal["before-store", "before-copy", "after-copy", "after-commit", "before-report"]
POINTS: Final[tuple[Point, ...]] = ("before-store", "before-copy", "after-copy", "after-commit", "before-report")
_UNFENCED: Final = """
    UPDATE position p SET next_offset = n.next_offset
    FROM unnest(%s::text[], %s::int[], %s::int8[], %s::int8[]) AS n (topic, partition, next_offset, epoch)
    WHERE p.topic = n.topic AND p.partition = n.partition
"""


def order(folder: Path, point: Point, number: signal.Signals) -> None:
    """Order the historian to send itself a signal when it gets to `point`."""
    fresh = folder / "fresh"
    fresh.write_text(f"{point} {number.value}")
    fresh.replace(folder / "next")


def pending(folder: Path) -> bool:
    """Return whether the last order is still to be carried out."""
    return (folder / "next").exists()


def withdraw(folder: Path) -> None:
    """Take the last order back."""
    (folder / "next").unlink(missing_ok=True)


def _reached(folder: Path, point: Point) -> None:
    file = folder / "next"
    try:
        wanted, number = file.read_text().split()
    except FileNotFoundError:
        return
    if wanted == point:
        file.unlink(missing_ok=True)
        os.kill(os.getpid(), int(number))


def arm(folder: Path) -> None:
    """Make this process look for orders. The functions are wrapped from outside, so that what ships knows nothing of drills."""
    copy: Any = writer._store_readings  # noqa: SLF001 - the points are inside
    store: Any = writer.Writer._store  # noqa: SLF001 - the points are inside
    commit: Any = KafkaConsumer.commit

    def with_copy(cursor: Any, prepared: Any) -> None:  # noqa: ANN401 - passed through
        loaded = bool(prepared.keep.any())
        if loaded:
            _reached(folder, "before-copy")
        copy(cursor, prepared)
        if loaded:
            _reached(folder, "after-copy")

    def with_store(self: Any, connection: Any, prepared: Any, admission: Any) -> Any:  # noqa: ANN401 - passed through
        loaded = bool(prepared.keep.any())
        if loaded:
            _reached(folder, "before-store")
        outcome = store(self, connection, prepared, admission)
        if loaded:
            _reached(folder, "after-commit")
        return outcome

    def with_commit(self: Any, positions: Any, **others: Any) -> None:  # noqa: ANN401 - passed through
        _reached(folder, "before-report")
        commit(self, positions, **others)

    writer._store_readings = with_copy  # noqa: SLF001 - see above
    writer.Writer._store = with_store  # type: ignore[method-assign]  # noqa: SLF001 - see above
    KafkaConsumer.commit = with_commit  # type: ignore[method-assign]  # see above


def unfence() -> None:
    """Plant the defect: positions are moved whoever owns them."""
    statements.ADVANCE = _UNFENCED  # type: ignore[misc]  # the defect replaces a constant


def main() -> None:
    """Run a role of trunkline with the points armed."""
    from trunkline.cli.run import app  # noqa: PLC0415 - armed first

    folder = Path(sys.argv.pop(1))
    if "--unfenced" in sys.argv:
        sys.argv.remove("--unfenced")
        unfence()
    if "--rival" in sys.argv:
        sys.argv.remove("--rival")
        _rival()
    else:
        arm(folder)
    app()


def _rival() -> None:
    """Run beside the holder of the role, as on another machine, where its lock is not seen."""
    from trunkline.cli import run  # noqa: PLC0415 - only a rival needs it

    def hold(data_dir: Path, role: str) -> Any:  # noqa: ANN401 - as what it replaces
        return (data_dir / "run" / f"{role}-rival.lock").open("a+")

    run.__dict__["hold_place"] = hold


if __name__ == "__main__":
    main()
