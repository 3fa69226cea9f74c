"""Delivery: every request is sent at least once, in order, by the channel that it names; a channel that is down holds up no other.

Each channel is a consumer group of its own on the topic of requests, in a thread of its own. A request's position is committed together
with its entry in the delivery log, after the receiver took it: a kill in between sends it again, under the same idempotency key. Nothing
is given up but what the receiver refuses for good, which is told as an event.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Final

import structlog

from trunkline.config.channels import Channel
from trunkline.config.notifications import NotificationsConfig
from trunkline.config.secrets import SecretStore
from trunkline.log.codec.events import encode_event
from trunkline.log.codec.notifications import encode_delivery
from trunkline.log.port import Appends, Log, Record
from trunkline.model import times
from trunkline.model.errors import Misconfigured, Rejected, RetryLater
from trunkline.model.events import Event
from trunkline.model.identity import content_uuid
from trunkline.model.notifications import Delivery, NotificationRequest, Outcome, RequestKind
from trunkline.sinks.notify.backoff import Backoff
from trunkline.sinks.notify.making import make_sender
from trunkline.sinks.notify.port import NotNow, Sender, Site
from trunkline.sinks.notify.queue import Queue

log = structlog.get_logger("trunkline.notify")

_POLL_SECONDS: Final = 0.5
_LOG_PAUSES: Final = (0.1, 0.3, 1.0, 3.0, 10.0)
#: A channel that cannot be made for want of a secret is looked at again this often: others go on meanwhile.
_MEND_SECONDS: Final = 10.0

REFUSED_EVENT: Final = "NOTIFICATION_REFUSED"


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of topics.

    Attributes:
        requests: read.
        log: entries of the delivery log are written to it.
        events: the platform's own events are written to it.
    """

    requests: str
    log: str
    events: str


def group_of(channel: str) -> str:
    """Return the consumer group of a channel."""
    return f"notify.{channel}"


class Deliverer:
    """Delivers for every channel of a site.

    Args:
        open_log: opens the site log; called again after it failed, and once for each channel.
        config: section `notifications`.
        topics: what is read and written.
        site: what messages say of where they come from.
        secrets: resolves references.
        member: name of this process in the groups, stable over restarts: whoever takes it over fences this one.
        clock: µs UTC, for stamps.
        backoff: makes a channel's waits.
    """

    def __init__(
        self,
        open_log: Callable[[], Log],
        config: NotificationsConfig,
        topics: Topics,
        site: Site,
        secrets: SecretStore,
        *,
        member: str = "notify-0",
        clock: Callable[[], int] = times.now,
        backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        self._failed: list[BaseException] = []
        self._stop = threading.Event()
        self._channels = [
            _ChannelDelivery(channel, config, site, secrets, open_log, topics, member, clock, backoff()) for channel in config.channels
        ]

    def run(self, stop: threading.Event) -> None:
        """Deliver until stopped.

        Raises:
            Fenced: another process took this member's name over.
            Misconfigured: a topic is missing.
        """
        threads = [threading.Thread(target=self._guard, args=(one,), name=f"notify {one.channel}") for one in self._channels]
        for thread in threads:
            thread.start()
        while not stop.wait(_POLL_SECONDS) and not self._stop.is_set():
            pass
        self._stop.set()
        for thread in threads:
            thread.join()
        if self._failed:
            raise self._failed[0]

    def _guard(self, delivery: "_ChannelDelivery") -> None:
        try:
            delivery.run(self._stop)
        except BaseException as error:  # noqa: BLE001 - raised again by `run`, in the thread that a role ends with
            self._failed.append(error)
            self._stop.set()


class _ChannelDelivery:
    """Delivers by one channel."""

    def __init__(
        self,
        channel: Channel,
        config: NotificationsConfig,
        site: Site,
        secrets: SecretStore,
        open_log: Callable[[], Log],
        topics: Topics,
        member: str,
        clock: Callable[[], int],
        backoff: Backoff,
    ) -> None:
        self.channel = channel.id
        # of its own: what it learns by resolving, it takes out of texts, and other threads learn meanwhile
        self._secrets = SecretStore(secrets.directory, secrets.base, secrets.environment)
        self._open_log = open_log
        self._topics = topics
        self._make = partial(make_sender, channel, config, site, self._secrets)
        self._member = member
        self._clock = clock
        self._backoff = backoff
        self._never_told: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Deliver until stopped; join again after the log failed. Raises Fenced, Misconfigured."""
        sender = self._made(stop)
        attempt = 0
        while sender is not None and not stop.is_set():
            try:
                self._run_joined(sender, stop)
                attempt = 0
            except RetryLater as error:
                log.warning("notifications wait for the log", channel=self.channel, error=str(error))
                stop.wait(_LOG_PAUSES[min(attempt, len(_LOG_PAUSES) - 1)])
                attempt += 1

    def _made(self, stop: threading.Event) -> Sender | None:
        told = ""
        while not stop.is_set():
            try:
                return self._make()
            except Misconfigured as error:
                if str(error) != told:
                    told = str(error)
                    log.warning("a channel cannot be used; its notifications wait", channel=self.channel, error=told)
                stop.wait(_MEND_SECONDS)
        return None

    def _run_joined(self, sender: Sender, stop: threading.Event) -> None:
        site = self._open_log()
        appends = (self._topics.log, self._topics.events)
        try:
            with site.consumer(group_of(self.channel), [self._topics.requests], self._member, appends=appends) as consumer:
                queue = Queue(consumer, self.channel)
                fresh = True
                while not stop.is_set():
                    gathered = queue.gather(0.0 if queue.head is not None else _POLL_SECONDS)
                    head = queue.head
                    if head is None:
                        if gathered:
                            consumer.commit(queue.passed)
                        continue
                    entry = self._settled(head.request, queue, sender, stop, unsure=fresh)
                    if entry is None:
                        return
                    fresh = False
                    consumer.commit({head.at: head.next_offset}, with_appends=self._appends(entry))
                    queue.settle()
                    log.info("notification", channel=self.channel, request=entry.request, outcome=entry.outcome.value, detail=entry.detail)
        finally:
            site.close()

    # ------------------------------------------------------------------ one request

    def _settled(
        self, request: NotificationRequest, queue: Queue, sender: Sender, stop: threading.Event, *, unsure: bool
    ) -> Delivery | None:
        """Send a request until it is settled; None when stopped before.

        `unsure` is whether an earlier life of this process may have sent it already: then its resolve is sent as well.
        """
        attempts = 0
        while not stop.is_set():
            if why := self._needless(request, queue, untold=attempts == 0 and not unsure):
                return self._entry(request, *why, attempts)
            attempts += 1
            try:
                said = sender.send(request, self._clock())
            except Rejected as error:
                return self._entry(request, Outcome.REFUSED, error.reason, attempts)
            except NotNow as error:
                pause = self._backoff.failed(error.after_seconds)
                log.warning("a notification waits", channel=self.channel, attempts=attempts, error=self._secrets.redact(str(error)))
                self._wait(pause, request, queue, stop)
            else:
                self._backoff.reset()
                return self._entry(request, Outcome.DELIVERED, said, attempts)
        return None

    def _needless(self, request: NotificationRequest, queue: Queue, *, untold: bool) -> tuple[Outcome, str] | None:
        """Return why a request need not be sent (any more)."""
        key = request.dedup_key
        if request.not_after is not None and self._clock() > request.not_after:
            return Outcome.EXPIRED, f"of no use after {times.to_iso(request.not_after)}"
        if queue.over(request):
            if untold and request.kind is not RequestKind.UPDATE:
                self._never_told.add(key)
            return Outcome.SUPERSEDED, "the alarm ended before this could be sent"
        if request.kind is RequestKind.RESOLVE and key in self._never_told:
            self._never_told.discard(key)
            return Outcome.SUPERSEDED, "the alarm's beginning was not sent either"
        if request.kind is RequestKind.ACKNOWLEDGE and key in self._never_told:
            return Outcome.SUPERSEDED, "the alarm's beginning was not sent either"
        return None

    def _wait(self, seconds: float, request: NotificationRequest, queue: Queue, stop: threading.Event) -> None:
        """Wait, reading on meanwhile; end early when the request has become needless."""
        deadline = time.monotonic() + seconds
        while not stop.is_set() and (left := deadline - time.monotonic()) > 0:
            if not queue.gather(min(left, _POLL_SECONDS)):
                stop.wait(min(max(deadline - time.monotonic(), 0.0), 0.01))
            if queue.over(request):
                return

    def _entry(self, request: NotificationRequest, outcome: Outcome, detail: str, attempts: int) -> Delivery:
        return Delivery(
            request=request.id,
            channel=self.channel,
            kind=request.kind,
            dedup_key=request.dedup_key,
            severity=request.severity,
            subject=request.subject,
            outcome=outcome,
            attempts=attempts,
            at=self._clock(),
            detail=self._secrets.redact(detail),
        )

    def _appends(self, entry: Delivery) -> Appends:
        appends: dict[str, list[Record]] = {self._topics.log: [encode_delivery(entry)]}
        if entry.outcome is Outcome.REFUSED:
            appends[self._topics.events] = [Record(encode_event(_refusal(entry)), b"")]
        return appends


def _refusal(entry: Delivery) -> Event:
    return Event(
        id=str(content_uuid(entry.at, sha256(entry.request.encode()).digest())),
        type=REFUSED_EVENT,
        time=entry.at,
        gateway_time=entry.at,
        text=f"channel {entry.channel} refused a notification for good: {entry.detail}: {entry.subject}",
        attributes={"channel": entry.channel, "request": entry.request, "kind": entry.kind.value},
        correlation_id=entry.dedup_key,
    )
