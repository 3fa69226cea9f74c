"""Steps with a memory of their own: whatever ends them when, their output is what it would have been (D-31, ED-23)."""

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.processing.test_runtime import eventually

from trunkline.log.housekeeping import compact
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record, StoredRecord, Topic, TopicPartition
from trunkline.model.errors import RetryLater
from trunkline.processing import memory
from trunkline.processing.port import Outputs, Remembering
from trunkline.processing.runtime import StepRunner

PARTITIONS = 3
COUNT = 900


class Telling:
    """Numbers every tenth record of a partition, with the record before it; once a second it says how many it told.

    The numbers given out are entries that change at once; the record before is a function of the input, so it is only warmed.
    """

    name, inputs, outputs, state = "telling", ("in",), ("out", "ticks"), "state"

    def __init__(self) -> None:
        self.told: dict[str, int] = {}
        self.before: dict[int, bytes] = {}
        self._dirty: set[str] = set()
        self.warmed = 0

    def process(self, records: Sequence[StoredRecord]) -> Outputs:
        found: list[Record] = []
        for record in records:
            before = self.before.get(record.partition, b"")
            self.before[record.partition] = record.value
            if int(record.value) % 10 == 0:
                name = str(record.partition)
                self.told[name] = self.told.get(name, 0) + 1
                self._dirty.add(name)
                found.append(Record(b"%d: %s after %s" % (self.told[name], record.value, before), partition=record.partition))
        return {"out": found} if found else {}

    def recover(self, records: Sequence[StoredRecord]) -> None:
        """Nothing: the entries say everything."""

    def changed(self) -> Mapping[str, bytes | None]:
        dirty, self._dirty = self._dirty, set()
        return {name: str(self.told[name]).encode() for name in dirty}

    def entries(self) -> Mapping[str, bytes]:
        return {
            **{name: str(count).encode() for name, count in self.told.items()},
            **{f"before-{partition}": value for partition, value in self.before.items()},
        }

    def restore(self, entries: Mapping[str, bytes]) -> None:
        self.told = {name: int(value) for name, value in entries.items() if not name.startswith("before-")}
        self.before = {int(name.removeprefix("before-")): value for name, value in entries.items() if name.startswith("before-")}

    def warm(self, records: Sequence[StoredRecord]) -> None:
        for record in records:
            self.before[record.partition] = record.value
        self.warmed += len(records)

    def tick(self) -> Outputs:
        name = "ticks"
        total = sum(count for key, count in self.told.items() if key != name)
        if total == self.told.get(name, 0):
            return {}
        self.told[name] = total
        self._dirty.add(name)
        return {"ticks": [Record(str(total).encode())]}


class Forgetful(Telling):
    """A planted defect: what decides the output is left to checkpoints."""

    def changed(self) -> Mapping[str, bytes | None]:
        super().changed()
        return {}


class Failing:
    """A journal whose commits fail now and then: before anything was stored, or after everything was."""

    def __init__(self, path: Path, dice: random.Random) -> None:
        self._journal = Journal(path)
        self._dice = dice

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    @contextmanager
    def consumer(self, *args: Any, **options: Any) -> Iterator[Any]:
        with self._journal.consumer(*args, **options) as consumer:
            commit, dice = consumer.commit, self._dice

            def failing(positions: Any, *, with_appends: Any = None) -> None:
                fate = dice.random()
                if fate < 0.1:
                    raise RetryLater("nothing was stored")
                commit(positions, with_appends=with_appends)
                if fate > 0.9:
                    raise RetryLater("everything was stored")

            consumer.commit = failing  # type: ignore[method-assign,assignment]
            poll = consumer.poll
            consumer.poll = lambda *_: poll(dice.randint(1, 40), 0.05)  # type: ignore[method-assign]
            yield consumer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Journal(tmp_path / "journal.db") as journal:
        journal.create([Topic("in", PARTITIONS), Topic("out", PARTITIONS), Topic("ticks"), Topic("state")])
        for partition in range(PARTITIONS):
            journal.append("in", [Record(str(number).encode(), partition=partition) for number in range(COUNT)])
    return tmp_path / "journal.db"


def run(path: Path, step: Callable[[], Remembering], seed: int) -> list[str]:
    """Run to the end of the input among failures; return the output by partition."""
    dice = random.Random(seed)
    stop = threading.Event()
    runner = StepRunner(lambda: Failing(path, dice), step, "one", checkpoint_seconds=0.02)  # type: ignore[arg-type,return-value]
    thread = threading.Thread(target=runner.run, args=(stop,))
    thread.start()
    with Journal(path) as log:
        eventually(lambda: sum(log.committed("telling").values()) == PARTITIONS * COUNT)
        stop.set()
        thread.join()
        return [
            record.value.decode() for partition in range(PARTITIONS) for record in log.read(TopicPartition("out", partition), 0, 10 * COUNT)
        ]


def expected() -> list[str]:
    return [
        f"{number // 10 + 1}: {number} after {number - 1 if number else ''}" for _ in range(PARTITIONS) for number in range(0, COUNT, 10)
    ]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.processing.runtime._PAUSES", (0.0,))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_failure_changes_the_output(path: Path, seed: int) -> None:
    assert run(path, Telling, seed) == expected()


def test_the_test_notices_a_memory_that_is_written_too_late(path: Path) -> None:
    assert any(run(path, Forgetful, seed) != expected() for seed in range(3))


def test_what_follows_from_input_is_shown_again(path: Path) -> None:
    """Between the last checkpoint and the committed positions, and no more."""
    steps: list[Telling] = []

    def made() -> Telling:
        steps.append(Telling())
        return steps[-1]

    run(path, made, 4)
    with Journal(path) as log:
        again = Telling()
        memory.remind(log, again, log.committed("telling"))
        assert again.before == dict.fromkeys(range(PARTITIONS), str(COUNT - 1).encode())
        assert again.warmed == 0, "the orderly end wrote everything down"
    assert any(step.warmed for step in steps)


def test_a_tick_is_committed_with_what_it_changed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.processing.runtime._TICK_SECONDS", 0.0)
    run(path, Telling, 5)
    with Journal(path) as log:
        told = [int(record.value) for record in log.read(TopicPartition("ticks", 0), 0, 10 * COUNT)]
        assert told == sorted(set(told)), "each number once"
        kept, _ = memory.kept(log, "state")
        assert told[-1] == int(kept["ticks"])


def test_compaction_keeps_what_is_remembered(path: Path) -> None:
    run(path, Telling, 6)
    with Journal(path) as log:
        before = memory.kept(log, "state")
        (first, end) = log.bounds("state")[TopicPartition("state", 0)]
        assert compact(log, ["state"]) > 0
        assert memory.kept(log, "state") == before
        (later, same) = log.bounds("state")[TopicPartition("state", 0)]
        assert (first < later, same) == (True, end)
        assert compact(log, ["state"]) == 0


def test_a_forgotten_entry_stays_forgotten(path: Path) -> None:
    with Journal(path) as log:
        log.append("state", [Record(b"1", b"e:a"), Record(b"2", b"e:b"), Record(b"", b"e:a"), Record(b"7", b"p:0:in")])
        assert memory.kept(log, "state") == ({"b": b"2"}, {TopicPartition("in", 0): 7})
        assert compact(log, ["state"]) == 1
        assert memory.kept(log, "state") == ({"b": b"2"}, {TopicPartition("in", 0): 7})
