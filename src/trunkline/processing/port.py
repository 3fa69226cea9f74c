"""The step port: a pure function from records to records, and the runtime's promise around it.

A step never does I/O and never keeps anything that it could not rebuild from its own output (`recover`), so that a SIGKILL at any
instruction changes nothing: the runtime commits input positions and outputs in one step of the log.
"""

from collections.abc import Sequence
from typing import Protocol

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
