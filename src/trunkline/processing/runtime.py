"""Runs a step: reads, processes, commits positions with outputs, retries while the log is away."""

import threading
from collections.abc import Callable
from typing import Final

import structlog

from trunkline.log.port import Consumer, Log
from trunkline.model.errors import Fenced, RetryLater
from trunkline.processing.port import Step

log = structlog.get_logger("trunkline.worker")

_POLL_RECORDS: Final = 500
_POLL_SECONDS: Final = 0.5
_PAUSES: Final = (0.1, 0.3, 1.0, 3.0, 10.0)
#: How much of its own output, per partition, a step is shown after a start.
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
            self._recover(site, step)
            with site.consumer(step.name, step.inputs, self._member, appends=step.outputs) as consumer:
                self.error = None
                while not stop.is_set():
                    self._turn(consumer, step)
        finally:
            site.close()

    def _turn(self, consumer: Consumer, step: Step) -> None:
        batch = consumer.poll(_POLL_RECORDS, _POLL_SECONDS)
        if batch:
            outputs = step.process(batch.records)
            consumer.commit(batch.positions, with_appends=outputs)
            self.records_total += len(batch.records)

    def _recover(self, site: Log, step: Step) -> None:
        for topic in step.outputs:
            for at, (first, end) in site.bounds(topic).items():
                step.recover(site.read(at, max(first, end - _RECOVER_RECORDS), _RECOVER_RECORDS))
