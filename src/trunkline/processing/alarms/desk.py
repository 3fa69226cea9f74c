"""The operators' side of the alarm step: what stands, and asking for actions."""

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
from trunkline.processing.alarms.book import AlarmBook
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


def alarms_of(site: Site, log: Log) -> list[Standing]:
    """Return every alarm of a site that is not at rest, as the alarm step last wrote it down. Raises RetryLater."""
    if not site.config.keeps_alarms:
        return []
    book = AlarmBook(site.config.alarms, {path: entry.tag for path, entry in site.tags().items()})
    entries, _ = memory.kept(log, layout_of(site.config.log).state("alarms"))
    book.restore(entries)
    return in_order(book.standing())
