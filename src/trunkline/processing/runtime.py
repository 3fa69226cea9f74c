"""Runs a step: reads, processes, commits positions with outputs and memory, retries while the log is away."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Final, Protocol

import structlog

from trunkline.log.port import Consumer, Log, Positions, StoredRecord, TopicPartition
from trunkline.model.errors import Fenced, RetryLater
from trunkline.processing import memory
from trunkline.processing.port import Outputs, Remembering, Step

log = structlog.get_logger("trunkline.worker")

_POLL_RECORDS: Final = 500
_POLL_SECONDS: Final = 0.5
_PAUSES: Final = (0.1, 0.3, 1.0, 3.0, 10.0)
#: How much of its own output, per partition, a step is shown when it is dealt a share.
_RECOVER_RECORDS: Final = 1000
_TICK_SECONDS: Final = 1.0
#: Input that a restart is shown again at most, by time.
_CHECKPOINT_SECONDS: Final = 30.0


class StepRunner:
    """One member of a step's group.

    Args:
        open_log: opens the site log; called again after it failed.
        step: makes the step anew: after a failed commit its state may be ahead of the log, so it is thrown away.
        member: name of this member, stable over restarts.
        checkpoint_seconds: how often a remembering step writes down everything.
    """

    def __init__(
        self, open_log: Callable[[], Log], step: Callable[[], Step], member: str, *, checkpoint_seconds: float = _CHECKPOINT_SECONDS
    ) -> None:
        self._open_log = open_log
        self._make_step = step
        self._member = member
        self._checkpoint_seconds = checkpoint_seconds
        self.records_total = 0
        self.error: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Run until stopped. Raises Fenced when another member took this name over."""
        attempt = 0
        while not stop.is_set():
            try:
                self._run_connected(stop)
            except Fenced:
                raise
            except RetryLater as error:
                self.error = str(error)
                log.warning("step waits for the log", member=self._member, error=self.error)
                stop.wait(_PAUSES[min(attempt, len(_PAUSES) - 1)])
                attempt += 1
            else:
                attempt = 0

    def _run_connected(self, stop: threading.Event) -> None:
        site = self._open_log()
        try:
            step = self._make_step()
            with site.consumer(step.name, step.inputs, self._member, appends=_written(step)) as consumer:
                self.error = None
                turns = _Turns(consumer, step, self._checkpoint_seconds, {})
                held: set[TopicPartition] = set()
                while not stop.is_set():
                    batch = consumer.poll(_POLL_RECORDS, _POLL_SECONDS)
                    before, held = held, consumer.assignment()
                    if held != before:
                        # others had the new ones meanwhile, and have the lost ones now: what is remembered of them is not ours to write
                        step = self._make_step()
                        turns = _Turns(consumer, step, self._checkpoint_seconds, self._recover(site, step, held))
                    if batch:
                        turns.take(batch.records, batch.positions)
                        self.records_total += len(batch.records)
                    if held:
                        turns.tick()
                turns.end()
        finally:
            site.close()

    def _recover(self, site: Log, step: Step, held: set[TopicPartition]) -> Positions:
        """Remind a step of what it knew of the partitions that it is dealt; return how far their input was processed.

        Output keeps the partition of its input, so of its own output a step is shown the end of these partitions.
        """
        committed = site.committed(step.name)
        processed = {at: committed[at] for at in held if at in committed}
        if isinstance(step, Remembering):
            memory.remind(site, step, processed)
        partitions = {at.partition for at in held}
        for topic in step.outputs:
            for at, (first, end) in site.bounds(topic).items():
                if at.partition in partitions:
                    step.recover(site.read(at, max(first, end - _RECOVER_RECORDS), _RECOVER_RECORDS))
        return processed


class _Turns:
    """Lets one step process and commits what came of it, with what the step remembers.

    Args:
        consumer: where the input comes from.
        step: the step.
        checkpoint_seconds: how often everything that it remembers is written down.
        positions: how far the input was processed that it was reminded of.
    """

    def __init__(self, consumer: Consumer, step: Step, checkpoint_seconds: float, positions: Positions) -> None:
        self._consumer = consumer
        self._step = step
        self._memory = step if isinstance(step, Remembering) else None
        self._every = checkpoint_seconds
        self._checkpoint_due = time.monotonic() + checkpoint_seconds
        self._tick_due = time.monotonic() + _TICK_SECONDS
        self._positions = positions
        self._moved = False

    def take(self, records: Sequence[StoredRecord], positions: Positions) -> None:
        """Process these records and commit."""
        outputs = self._step.process(records)
        self._positions.update(positions)
        self._moved = True
        self._commit(outputs, positions)

    def tick(self) -> None:
        """Let time pass, when it is due."""
        if self._memory is None or time.monotonic() < self._tick_due:
            return
        self._tick_due = time.monotonic() + _TICK_SECONDS
        self._commit(self._memory.tick())

    def end(self) -> None:
        """Write everything down before an orderly end, so that the next start is quick."""
        if self._memory is not None and self._moved:
            self._checkpoint_due = 0.0
            self._commit({})

    def _commit(self, outputs: Outputs, positions: Positions | None = None) -> None:
        if self._memory is not None:
            if self._moved and time.monotonic() >= self._checkpoint_due:
                remembered = memory.checkpoint(self._memory, self._positions)
                self._checkpoint_due, self._moved = time.monotonic() + self._every, False
            else:
                remembered = memory.changes(self._memory)
            if remembered:
                outputs = {**outputs, self._memory.state: [*outputs.get(self._memory.state, ()), *remembered]}
        if positions is None:
            # the same positions again: a member that was replaced is found out by them
            mine = self._consumer.assignment()
            positions = {at: offset for at, offset in self._positions.items() if at in mine} if outputs else {}
        if outputs or positions:
            self._consumer.commit(positions, with_appends=outputs)


def _written(step: Step) -> Sequence[str]:
    return (*step.outputs, step.state) if isinstance(step, Remembering) else step.outputs


class Runnable(Protocol):
    """What runs until it is stopped."""

    def run(self, stop: threading.Event) -> None:
        """Run until `stop` is set."""
        ...


def run_together(runners: Sequence[Runnable], stop: threading.Event) -> None:
    """Run several, a thread each, until stopped. Raises what ended one of them; the others are stopped then."""
    with ThreadPoolExecutor(len(runners), thread_name_prefix="step") as hands:
        running = [hands.submit(runner.run, stop) for runner in runners]
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        stop.set()
        for one in ended:
            one.result()
