"""Steps that look at clean telemetry: from records to columns, once for all of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import numpy as np

from trunkline.log.codec import columns as codec
from trunkline.log.codec.columns import BOOL, Columns
from trunkline.log.codec.head import BACKLOG
from trunkline.log.codec.records import gather
from trunkline.log.codec.registry import RegistryClient
from trunkline.log.port import StoredRecord
from trunkline.log.topics import Layout, StatefulStep
from trunkline.model import times
from trunkline.model.errors import CorruptData
from trunkline.model.reading import Category, Kind
from trunkline.processing.port import Outputs


class CleanTelemetry:
    """Decodes the readings of clean topics, whatever their form.

    Args:
        layout: names of the topics.
        kinds: of each tag's values, by path.
        schemas: what the schema ids of third parties' records mean; without it the built-in ones are known.
    """

    def __init__(self, layout: Layout, kinds: Mapping[str, Kind], schemas: RegistryClient | None = None) -> None:
        self.topics: Final = layout.topics(Category.TELEMETRY, "clean")
        self._kinds = kinds
        self._schemas = schemas or RegistryClient()
        self.broken = 0

    def columns(self, records: Sequence[StoredRecord]) -> tuple[Columns, BOOL]:
        """Return the readings among records, and which of their blocks were overtaken by live data.

        What cannot be decoded is counted and passed over: validation has written it, so the disk has damaged it, and the historian,
        which reads the same, puts it among the dead letters.

        Raises:
            RetryLater: a schema has to be asked for, and the registry is away.
        """
        blocks, broken = gather([record for record in records if record.topic in self.topics], self._schemas, self._kinds)
        try:
            columns = codec.decode(blocks)
        except CorruptData:
            whole = [record for record in blocks if _is_whole(record)]
            self.broken += len(blocks) - len(whole)
            blocks, columns = whole, codec.decode(whole)
        self.broken += len(broken)
        return columns, np.fromiter((record.header(BACKLOG) is not None for record in blocks), np.bool_, len(blocks))


def _is_whole(record: StoredRecord) -> bool:
    try:
        codec.decode([record])
    except CorruptData:
        return False
    return True


class Core(Protocol):
    """What a step on telemetry is at heart: pure, with a memory of its own. Methods as in `Remembering`, on columns."""

    def changed(self) -> Mapping[str, bytes | None]:
        """Return the entries changed since the last call."""
        ...

    def entries(self) -> Mapping[str, bytes]:
        """Return every entry."""
        ...

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Take entries back."""
        ...

    def warm(self, columns: Columns) -> None:
        """Take in readings seen before."""
        ...


class TelemetryStep:
    """A core that looks at telemetry alone, as a step.

    Args:
        name: of the step, its group and its state.
        layout: names of the topics.
        telemetry: decodes the input.
        core: remembers.
        evaluate: what to append for readings at a time (µs UTC).
        tick: what to append when time passes.
        outputs: topics written.
        clock: present time, µs UTC.
    """

    def __init__(
        self,
        name: StatefulStep,
        layout: Layout,
        telemetry: CleanTelemetry,
        core: Core,
        evaluate: Callable[[Columns, int], Outputs],
        tick: Callable[[int], Outputs],
        outputs: Sequence[str],
        clock: Callable[[], int] = times.now,
    ) -> None:
        self.name: str = name
        self.state: str = layout.state(name)
        self.inputs: Sequence[str] = telemetry.topics
        self.outputs: Sequence[str] = outputs
        self._telemetry = telemetry
        self._core = core
        self._evaluate = evaluate
        self._tick = tick
        self._clock = clock

    def process(self, records: Sequence[StoredRecord]) -> Outputs:
        """Return what follows from these readings. Raises RetryLater: a schema has to be asked for, and the registry is away."""
        columns, _ = self._telemetry.columns(records)
        return self._evaluate(columns, self._clock())

    def tick(self) -> Outputs:
        """Return what follows from time alone."""
        return self._tick(self._clock())

    def warm(self, records: Sequence[StoredRecord]) -> None:
        """Show the core again what it saw."""
        columns, _ = self._telemetry.columns(records)
        self._core.warm(columns)

    def recover(self, records: Sequence[StoredRecord]) -> None:
        """Nothing: the entries say everything."""

    def changed(self) -> Mapping[str, bytes | None]:
        """Return the entries that changed."""
        return self._core.changed()

    def entries(self) -> Mapping[str, bytes]:
        """Return every entry."""
        return self._core.entries()

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Take entries back."""
        self._core.restore(entries)
