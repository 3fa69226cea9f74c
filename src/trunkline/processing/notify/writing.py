"""Makes requests: what they say, and the key that is the same whenever the same is asked for."""

from hashlib import sha256
from zoneinfo import ZoneInfo

from trunkline.model.identity import content_uuid
from trunkline.model.notifications import Item, NotificationRequest, RequestKind
from trunkline.processing.notify import wording
from trunkline.processing.notify.state import Told
from trunkline.processing.notify.transition import Transition


class Writer:
    """Makes the requests of a site.

    Args:
        zone: in which people read times.
        links: put into every message.
    """

    def __init__(self, zone: ZoneInfo, links: tuple[str, ...]) -> None:
        self._zone = zone
        self._links = links

    def single(
        self, alarm: Transition, told: Told, kind: RequestKind, notes: tuple[str, ...] = (), not_after: int | None = None
    ) -> NotificationRequest:
        """Return a request about one alarm; `notes` are further lines of its text, `not_after` is µs UTC."""
        return NotificationRequest(
            id=identity(alarm.time, told.channel, kind, told.dedup_key, alarm.id),
            channel=told.channel,
            kind=kind,
            dedup_key=told.dedup_key,
            severity=alarm.severity,
            time=alarm.time,
            subject=wording.headline(alarm, kind),
            text=wording.message(alarm, self._zone, notes),
            links=self._links,
            people=told.people,
            asset=alarm.asset,
            tag=alarm.tag,
            type=alarm.type,
            not_after=not_after,
        )

    def collection(
        self,
        kind: RequestKind,
        title: str,
        channel: str,
        people: tuple[str, ...],
        items: tuple[Item, ...],
        gone: int,
        when: tuple[int, int],
    ) -> NotificationRequest:
        """Return a digest or summary.

        Args:
            kind: which of them.
            title: beginning of its subject.
            channel: by which it is sent.
            people: whom it is for; empty for the channel's own recipients.
            items: what stands, the worst first.
            gone: how many came and went meanwhile.
            when: when it was due, which tells it from others, and when it is made, µs UTC.
        """
        due, now = when
        key = "/".join((kind, channel, *people, str(due)))
        return NotificationRequest(
            id=identity(due, channel, kind, key, ""),
            channel=channel,
            kind=kind,
            dedup_key=key,
            severity=max(one.severity for one in items),
            time=now,
            subject=f"{title}: {wording.counts(items)}",
            text=wording.listing(items, self._zone, gone),
            links=self._links,
            people=people,
            items=items,
        )


def identity(moment: int, *parts: str) -> str:
    """Return the idempotency key: the same whenever and wherever the same request is made."""
    return str(content_uuid(moment, sha256("\0".join(parts).encode()).digest()))
