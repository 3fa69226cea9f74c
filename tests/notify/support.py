"""A journal with the topics, requests, and a deliverer that runs beside the test."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trunkline.config.notifications import NotificationsConfig
from trunkline.config.secrets import SecretStore
from trunkline.log.codec.events import decode_event
from trunkline.log.codec.notifications import decode_delivery, encode_request
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Topic, TopicPartition
from trunkline.model import times
from trunkline.model.events import AlarmSeverity, Event
from trunkline.model.notifications import Delivery, NotificationRequest, RequestKind
from trunkline.sinks.notify.backoff import Backoff
from trunkline.sinks.notify.deliver import Deliverer, Topics
from trunkline.sinks.notify.port import Site

TOPICS = Topics("notify.requests", "notify.log", "events")
SITE = Site("plant-1", "Plant 1")
NOW = times.from_iso("2026-11-20T10:00:00Z")
SECRETS = {"KEY": "0123456789abcdef0123456789abcdef"}


def config(*channels: Mapping[str, Any], **more: Any) -> NotificationsConfig:
    return NotificationsConfig.model_validate({"channels": channels, **more})


def request(number: int, kind: str = "trigger", channel: str = "hook", key: str = "", **more: Any) -> NotificationRequest:
    given: dict[str, Any] = {
        "id": f"r{number}",
        "channel": channel,
        "kind": RequestKind(kind),
        "dedup_key": key or f"a{number}",
        "severity": AlarmSeverity.CRITICAL,
        "time": NOW,
        "subject": f"subject {number}",
        "text": f"text {number}",
        "asset": "PLANT01.AREA02.UNIT_05",
        "tag": "FLOW_RATE",
        "type": "HIGH_FLOW",
    }
    return NotificationRequest(**{**given, **more})


def until(done: Callable[[], bool], what: str = "it") -> None:
    """Wait for something that has to happen."""
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.005)


class Desk:
    """The topics in a journal."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.db"
        self.secrets = SecretStore(folder / "secrets", folder, SECRETS)
        self.log = Journal(self.path)
        self.log.create([Topic(TOPICS.requests, 2), Topic(TOPICS.log), Topic(TOPICS.events)])

    def ask(self, *requests: NotificationRequest) -> None:
        self.log.append(TOPICS.requests, [encode_request(one) for one in requests])

    def deliveries(self) -> list[Delivery]:
        return [decode_delivery(one) for one in self.log.read(TopicPartition(TOPICS.log, 0), 0)]

    def outcomes(self) -> list[tuple[str, str]]:
        return [(one.request, one.outcome.value) for one in self.deliveries()]

    def events(self) -> list[Event]:
        return [decode_event(one.value) for one in self.log.read(TopicPartition(TOPICS.events, 0), 0)]

    def deliverer(
        self,
        notifications: NotificationsConfig,
        open_log: Callable[[], Journal] | None = None,
        backoff: Callable[[], Backoff] = lambda: Backoff(0.01, 0.05),
    ) -> Deliverer:
        made = open_log or (lambda: Journal(self.path))
        return Deliverer(made, notifications, TOPICS, SITE, self.secrets, clock=lambda: NOW, backoff=backoff)

    @contextmanager
    def delivering(
        self,
        notifications: NotificationsConfig,
        open_log: Callable[[], Journal] | None = None,
        backoff: Callable[[], Backoff] = lambda: Backoff(0.01, 0.05),
    ) -> Iterator[None]:
        """Deliver while the test looks on; what the deliverer dies of fails the test."""
        stop = threading.Event()
        died: list[BaseException] = []

        def run() -> None:
            try:
                self.deliverer(notifications, open_log, backoff).run(stop)
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                died.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        assert not died, died
