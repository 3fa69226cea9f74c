"""The operators' side of the alarm step: what stands, and asking for actions."""

import threading
import time
from typing import Final

from trunkline.config.loading import Site
from trunkline.log.codec.alarm_desk import Answer, Request, decode_answer, encode_request
from trunkline.log.opening import layout_of
from trunkline.log.port import Log, Positions
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.alarms import Action
from trunkline.model.errors import CorruptData
from trunkline.model.identity import uuid7
from trunkline.processing import memory
from trunkline.processing.alarms.book import standing_of
from trunkline.processing.alarms.plan import Plan
from trunkline.processing.alarms.standing import Standing, in_order

#: Seconds after which a request is worth nothing.
_LASTS: Final = 15.0
_STEP: Final = 0.02
_PAGE: Final = 100


def ask(log: Log, layout: Layout, action: Action, *, seconds: float = _LASTS) -> Answer | None:
    """Ask for an action and wait for its answer.

    Args:
        log: the site log.
        layout: names of topics.
        action: what is wanted.
        seconds: how long to wait; afterwards the step refuses it.

    Returns:
        The answer; None when none came: then it was not done, unless the step did it in the last moment. Look at the alarm.

    Raises:
        RetryLater: the log is away.
    """
    ends: Positions = {at: end for at, (_, end) in log.bounds(layout.alarm_answers).items()}
    now = times.now()
    request = Request(id=str(uuid7()), action=action, asked_at=now, expires_at=now + round(seconds * times.SECOND))
    # one record, with an identity of its own: it needs no transaction
    log.append(layout.alarm_actions, [encode_request(request)], atomic=False)
    deadline = time.monotonic() + seconds
    while True:
        for at, position in ends.items():
            for record in log.read(at, position, _PAGE):
                ends[at] = record.offset + 1
                try:
                    answer = decode_answer(record)
                except CorruptData:
                    continue
                if answer.id == request.id:
                    return answer
        if time.monotonic() >= deadline:
            return None
        time.sleep(_STEP)


class AlarmList:
    """What stands, read from what the alarm step writes down. Thread-safe; what does not change is worked out once.

    Args:
        site: the site.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._topic = layout_of(site.config.log).state("alarms")
        self._lock = threading.Lock()
        self._plan: Plan | None = None
        self._ends: Positions = {}
        self._known: list[Standing] = []

    def standing(self, log: Log) -> list[Standing]:
        """Return every alarm that is not at rest, what wants attention first. Raises RetryLater."""
        if not self._site.config.keeps_alarms:
            return []
        with self._lock:
            ends = {at: end for at, (_, end) in log.bounds(self._topic).items()}
            if self._plan is None:
                self._plan = Plan(self._site.config.alarms, {path: entry.tag for path, entry in self._site.tags().items()})
            if ends != self._ends:
                entries, _ = memory.kept(log, self._topic)
                self._known, self._ends = in_order(standing_of(self._plan, entries)), ends
            return self._known
