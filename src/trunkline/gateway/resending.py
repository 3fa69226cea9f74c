"""Sending again on demand (PD-4, PD-10): records that the site log refused, and what was forwarded in a time and is still in the journal.

Who asks leaves a request in the edge journal, since the lanes are in the running gateway's hands. The gateway takes it within a second, or
when it starts, and notes in one step with the lanes that it did. The site drops what it has by its range, so asking twice doubles nothing.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from trunkline.gateway.outbox import Outbox
from trunkline.log.journal.journal import Journal
from trunkline.log.port import TopicPartition

#: Names of the journal's facts: what is asked for, and what became of the last request.
REQUEST: Final = "outbox.resend"
ANSWER: Final = "outbox.resent"
_LOOK_SECONDS: Final = 1.0


class Resend(msgspec.Struct, frozen=True):
    """What is to be sent again: records set aside, or else what was journalled in a time.

    Attributes:
        id: of the request.
        topics: which topics; empty for all that the site tells repeats of.
        failed: whether records set aside are meant.
        places: with `failed`: which, as topic, partition and offset; empty for all that are FAILED.
        since_us: from when on; None from the oldest kept.
        until_us: up to when; None to the newest.
    """

    id: str
    topics: list[str] = []
    failed: bool = False
    places: list[tuple[str, int, int]] = []
    since_us: int | None = None
    until_us: int | None = None


class Resent(msgspec.Struct, frozen=True):
    """What the gateway made of a request.

    Attributes:
        id: of the request.
        records: how many were put into the lanes.
    """

    id: str
    records: int


def ask(journal: Journal, request: Resend) -> bool:
    """Leave a request; return False when an earlier one was not taken yet."""
    pending = journal.meta(REQUEST)
    if pending and msgspec.json.decode(pending, type=Resend).id != _answered(journal):
        return False
    journal.append_many({}, meta={REQUEST: msgspec.json.encode(request).decode()})
    return True


def answer_to(journal: Journal, request: Resend) -> Resent | None:
    """Return what became of a request, None before the gateway took it."""
    told = journal.meta(ANSWER)
    answer = msgspec.json.decode(told, type=Resent) if told else None
    return answer if answer is not None and answer.id == request.id else None


def _answered(journal: Journal) -> str | None:
    told = journal.meta(ANSWER)
    return msgspec.json.decode(told, type=Resent).id if told else None


class Resending:
    """Takes requests and puts them into the lanes.

    Args:
        journal: the edge journal.
        outbox: its lanes.
        topics: those whose records may be sent again.
        clock: present time in µs UTC.
        ticks: a clock in seconds that only goes forward.
    """

    def __init__(
        self, journal: Journal, outbox: Outbox, topics: tuple[str, ...], clock: Callable[[], int], ticks: Callable[[], float]
    ) -> None:
        self._journal, self._outbox, self._topics = journal, outbox, topics
        self._clock, self._ticks = clock, ticks
        self._done = _answered(journal)
        self._looked: float | None = None

    def look(self) -> Resent | None:
        """Take what is asked for, if that is due and there is anything; hold the forwarder's lock."""
        now = self._ticks()
        if self._looked is not None and now - self._looked < _LOOK_SECONDS:
            return None
        self._looked = now
        told = self._journal.meta(REQUEST)
        request = msgspec.json.decode(told, type=Resend) if told else None
        if request is None or request.id == self._done:
            return None
        resent = Resent(request.id, self._failed(request) if request.failed else self._of_time(request))
        self._journal.append_many({}, meta={**self._outbox.meta(), ANSWER: msgspec.json.encode(resent).decode()})
        self._done = request.id
        return resent

    def _failed(self, request: Resend) -> int:
        moved = 0
        for at, lane in self._outbox.lanes.items():
            offsets = {offset for topic, partition, offset in request.places if (topic, partition) == at} if request.places else None
            if not request.topics or at.topic in request.topics:
                moved += lane.try_again(offsets, self._clock())
        return moved

    def _of_time(self, request: Resend) -> int:
        moved = 0
        for topic in request.topics or self._topics:
            for at, (first, end) in self._journal.bounds(topic).items():
                start = first if request.since_us is None else self._first_at(at, first, end, request.since_us)
                stop = end if request.until_us is None else self._first_at(at, start, end, request.until_us)
                moved += self._outbox.lane(at).send_again(start, stop)
        return moved

    def _first_at(self, at: TopicPartition, low: int, high: int, moment: int) -> int:
        """Return the first offset in [low, high) whose record was journalled at `moment` or later, or `high`: times ascend with offsets."""
        while low < high:
            middle = (low + high) // 2
            records = self._journal.read(at, middle, 1)
            if records and records[0].timestamp < moment:
                low = middle + 1
            else:
                high = middle
        return low
