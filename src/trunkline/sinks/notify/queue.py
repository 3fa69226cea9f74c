"""What waits for one channel: read ahead of what is committed, so that it is seen whether an alarm is over before it was told."""

from collections import Counter, deque
from typing import Final, NamedTuple

import structlog

from trunkline.log.codec.notifications import decode_request
from trunkline.log.port import Consumer, Positions, TopicPartition
from trunkline.model.errors import CorruptData
from trunkline.model.notifications import TELLING, NotificationRequest, RequestKind

log = structlog.get_logger("trunkline.notify")

#: Requests that are read ahead at most; the log keeps the rest.
_MOST: Final = 10_000
_POLL_RECORDS: Final = 500


class Waiting(NamedTuple):
    """A request and the position after it."""

    request: NotificationRequest
    at: TopicPartition
    next_offset: int


class Queue:
    """Requests of one channel, in order.

    Args:
        consumer: of the channel's own group.
        channel: its id; requests of others are passed over.
    """

    def __init__(self, consumer: Consumer, channel: str) -> None:
        self._consumer = consumer
        self._channel = channel
        self._waiting: deque[Waiting] = deque()
        self._resolves: Counter[str] = Counter()
        self._passed: Positions = {}

    @property
    def head(self) -> Waiting | None:
        """The request whose turn it is."""
        return self._waiting[0] if self._waiting else None

    @property
    def passed(self) -> Positions:
        """Positions that may be committed while nothing waits: everything before them is of other channels, or settled."""
        return dict(self._passed)

    def gather(self, timeout: float) -> bool:
        """Read what came, waiting up to `timeout` seconds for it; return whether anything was read. Raises Fenced, RetryLater."""
        if len(self._waiting) >= _MOST:
            return False
        batch = self._consumer.poll(_POLL_RECORDS, timeout)
        for record in batch.records:
            try:
                request = decode_request(record)
            except CorruptData as error:
                log.warning("a notification request is passed over", error=str(error))
                continue
            if request.channel == self._channel:
                if request.kind is RequestKind.RESOLVE:
                    self._resolves[request.dedup_key] += 1
                self._waiting.append(Waiting(request, TopicPartition(record.topic, record.partition), record.offset + 1))
        self._passed |= batch.positions
        return bool(batch)

    def settle(self) -> None:
        """The request at the head is dealt with."""
        request = self._waiting.popleft().request
        if request.kind is RequestKind.RESOLVE:
            self._resolves[request.dedup_key] -= 1
            if not self._resolves[request.dedup_key]:
                del self._resolves[request.dedup_key]

    def over(self, request: NotificationRequest) -> bool:
        """Return whether what the request at the head tells of has ended further back in the queue."""
        return request.kind in TELLING and self._resolves[request.dedup_key] > 0
