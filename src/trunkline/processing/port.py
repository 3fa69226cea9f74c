"""The step port: a pure function from records to records, and the runtime's promise around it.

A step never does I/O. The runtime commits input positions, outputs and what the step remembers in one step of the log, so that a SIGKILL
at any instruction changes no output. What a step remembers is rebuilt in one of two ways: from the end of its own output (`recover`), or,
where that does not say enough, from entries that it has the runtime keep (`Remembering`).
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from trunkline.log.port import Record, StoredRecord

Outputs = dict[str, list[Record]]


class Step(Protocol):
    """What a step does."""

    @property
    def name(self) -> str:
        """Name of the step and of its consumer group."""
        ...

    @property
    def inputs(self) -> Sequence[str]:
        """Topics read."""
        ...

    @property
    def outputs(self) -> Sequence[str]:
        """Topics written; the runtime gives their last records to `recover`, of the partitions that it reads."""
        ...

    def process(self, records: Sequence[StoredRecord]) -> Outputs:
        """Return what to append for these records. Strict and total: bad input becomes a dead letter, never an exception."""
        ...

    def recover(self, records: Sequence[StoredRecord]) -> None:
        """Take own earlier output (oldest first) to rebuild state after a start, or when the share of partitions has grown."""
        ...


@runtime_checkable
class Remembering(Step, Protocol):
    """A step with a memory of its own: entries by name, and what follows from input alone.

    Entries are of two kinds, and only the step knows which is which. What decides the next output (an alarm's state, a number given out)
    is among `changed` in the very commit in which it changed. What is a function of the input (last values, windows) need not be: it is
    written with a checkpoint now and then, and between that and the committed positions the runtime shows the input again (`warm`).
    """

    @property
    def state(self) -> str:
        """Topic that keeps the entries."""
        ...

    def changed(self) -> Mapping[str, bytes | None]:
        """Return the entries to be stored with this commit: those changed since the last call; None forgets one."""
        ...

    def entries(self) -> Mapping[str, bytes]:
        """Return every entry, for a checkpoint."""
        ...

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Take the entries kept, before anything else."""
        ...

    def warm(self, records: Sequence[StoredRecord]) -> None:
        """Take in input that was processed before: it changes what follows from input alone, and emits nothing."""
        ...

    def tick(self) -> Outputs:
        """Return what the passing of time brings about; called about once a second."""
        ...
