"""Runs a step: reads, processes, commits positions with outputs, retries while the log is away."""

import threading
from collections.abc import Callable
from typing import Final

import structlog

from trunkline.log.port import Batch, Consumer, Log, TopicPartition
from trunkline.model.errors import Fenced, RetryLater
from trunkline.processing.port import Step

log = structlog.get_logger("trunkline.worker")

_POLL_RECORDS: Final = 500
_POLL_SECONDS: Final = 0.5
_PAUSES: Final = (0.1, 0.3, 1.0, 3.0, 10.0)
#: How much of its own output, per partition, a step is shown when it is dealt a share.
_RECOVER_RECORDS: Final = 1000


class StepRunner:
    """One member of a step's group.

    Args:
        open_log: opens the site log; called again after it failed.
        step: makes the step anew: after a failed commit its state may be ahead of the log, so it is thrown away.
        member: name of this member, stable over restarts.
    """

    def __init__(self, open_log: Callable[[], Log], step: Callable[[], Step], member: str) -> None:
        self._open_log = open_log
        self._make_step = step
        self._member = member
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
            with site.consumer(step.name, step.inputs, self._member, appends=step.outputs) as consumer:
                self.error = None
                held: set[TopicPartition] = set()
                while not stop.is_set():
                    batch = consumer.poll(_POLL_RECORDS, _POLL_SECONDS)
                    before, held = held, consumer.assignment()
                    if not held <= before:
                        # others had these partitions meanwhile: what is remembered of them is old
                        step = self._make_step()
                        self._recover(site, step, {at.partition for at in held})
                    if batch:
                        self._turn(consumer, step, batch)
        finally:
            site.close()

    def _turn(self, consumer: Consumer, step: Step, batch: Batch) -> None:
        outputs = step.process(batch.records)
        consumer.commit(batch.positions, with_appends=outputs)
        self.records_total += len(batch.records)

    def _recover(self, site: Log, step: Step, partitions: set[int]) -> None:
        """Show a step the end of its own output in the partitions that it is dealt; output keeps the partition of its input."""
        for topic in step.outputs:
            for at, (first, end) in site.bounds(topic).items():
                if at.partition in partitions:
                    step.recover(site.read(at, max(first, end - _RECOVER_RECORDS), _RECOVER_RECORDS))
