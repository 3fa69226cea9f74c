"""A deliverer in a process of its own: `worker.py JOURNAL URL [commit-first]`. With the planted defect it commits before it sends."""

import signal
import sys
import threading
from pathlib import Path

from trunkline.config.notifications import NotificationsConfig
from trunkline.config.secrets import SecretStore
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Consumer
from trunkline.sinks.notify.backoff import Backoff
from trunkline.sinks.notify.deliver import Deliverer, Topics
from trunkline.sinks.notify.port import Site
from trunkline.sinks.notify.queue import Queue


def _plant() -> None:
    """Commit every request as soon as it is at the head of the queue."""
    honest = Queue.over

    def over(self: Queue, request: object) -> bool:
        head = self.head
        consumer: Consumer = self._consumer
        if head is not None:
            consumer.commit({head.at: head.next_offset})
        return honest(self, request)  # type: ignore[arg-type]

    Queue.over = over  # type: ignore[method-assign]


def main(journal: str, url: str, *sabotage: str) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if sabotage:
        _plant()
    channel = {"id": "hook", "type": "webhook", "url": url, "secret": "${KEY}"}
    folder = Path(journal).parent
    Deliverer(
        lambda: Journal(Path(journal)),
        NotificationsConfig.model_validate({"channels": [channel]}),
        Topics("notify.requests", "notify.log", "events"),
        Site("plant-1", ""),
        SecretStore(folder, folder, {"KEY": "0123456789abcdef"}),
        backoff=lambda: Backoff(0.01, 0.05),
    ).run(stop)


if __name__ == "__main__":
    main(*sys.argv[1:])
