"""What the router asks a channel to send, and what became of it: JSON records on two topics of the site log."""

from enum import StrEnum

import msgspec

from trunkline.model.events import AlarmSeverity


class RequestKind(StrEnum):
    """What a request tells; those of `TELLING` make somebody look."""

    TRIGGER = "trigger"
    UPDATE = "update"
    ESCALATE = "escalate"
    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    DIGEST = "digest"
    STORM = "storm"


#: Of one alarm that stands: not worth sending any more once the same alarm's resolve waits behind it.
TELLING = frozenset({RequestKind.TRIGGER, RequestKind.UPDATE, RequestKind.ESCALATE})


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One alarm in a digest or summary.

    Attributes:
        occurrence: the alarm's id from its raise to its end.
        time: when it was raised or raised again, µs UTC.
        text: a line for people.
    """

    occurrence: str
    severity: AlarmSeverity
    time: int
    text: str


class NotificationRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing to send by one channel.

    Attributes:
        id: idempotency key: the same request has the same id however often it is made or sent.
        channel: id of the channel in the site file.
        kind: what it tells.
        dedup_key: what its parts have in common at the receiver: a trigger and its resolve; the alarm's occurrence.
        severity: of the alarm, or the worst in a digest or summary.
        time: when what it tells happened, µs UTC; of a digest or summary, when it was made.
        subject: one line.
        text: the whole message, plain text.
        links: addresses to look at.
        people: ids of people in the site file whom it is for; empty for the channel's own recipients.
        asset, tag, type: of the alarm; empty in a digest or summary.
        items: alarms in a digest or summary.
        not_after: µs UTC after which it is of no use to anybody; None for ever.
    """

    id: str
    channel: str
    kind: RequestKind
    dedup_key: str
    severity: AlarmSeverity
    time: int
    subject: str
    text: str
    links: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    asset: str = ""
    tag: str = ""
    type: str = ""
    items: tuple[Item, ...] = ()
    not_after: int | None = None


class Outcome(StrEnum):
    """What became of a request: all of them are final."""

    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    REFUSED = "refused"


class Delivery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry of the delivery log.

    Attributes:
        request: id of the request.
        attempts: how often it was sent since the deliverer started; 0 when it never was.
        at: when it was settled, µs UTC.
        detail: what the receiver said, or why it was not sent; without credentials.
    """

    request: str
    channel: str
    kind: RequestKind
    dedup_key: str
    severity: AlarmSeverity
    subject: str
    outcome: Outcome
    attempts: int
    at: int
    detail: str = ""
