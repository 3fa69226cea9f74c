"""Who reads what: members of groups, their epochs, and the leases they hold on lanes.

A member's name is static. Joining under a name takes it over with a higher epoch, and whoever held it before is fenced. The partitions of
a group's topics are dealt out by partition number over the members' names in order, so that equal partitions of several topics fall to
the same member. A lease says since which generation its member holds it: a member that finds another 'since' than it knows has lost
the lane in between, even if it holds it again.

Heartbeats are on the machine's monotonic clock, which all processes share and nobody can set; one that lies in the future is from before
a reboot. Functions here run inside a write transaction unless they say otherwise.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic_ns

from trunkline.log.journal.store import Damaged, topic_places
from trunkline.model import times
from trunkline.model.errors import Fenced


@dataclass(frozen=True, slots=True)
class Membership:
    """A member as one consumer holds it.

    Attributes:
        group, name: who.
        epoch: of this holder of the name.
        topics: what it wants to read.
        session_us: silence after which others take over its share.
    """

    group: str
    name: str
    epoch: int
    topics: tuple[str, ...]
    session_us: int


def _clock() -> int:
    return monotonic_ns() // 1000


def join(db: sqlite3.Connection, group: str, name: str, topics: Sequence[str], session_us: int) -> Membership:
    """Take over a member's name."""
    row = db.execute("SELECT epoch FROM member WHERE grp = ? AND name = ?", (group, name)).fetchone()
    # the time makes epochs grow even if the file was mended and the members were lost
    member = Membership(group, name, max(times.now(), row[0] + 1 if row else 0), tuple(topics), session_us)
    _enrol(db, member)
    _deal(db, member)
    return member


def beat(db: sqlite3.Connection, member: Membership) -> None:
    """Say that a member is alive and deal the shares of those that are not. Raises Fenced."""
    updated = db.execute(
        "UPDATE member SET heartbeat = ? WHERE grp = ? AND name = ? AND epoch = ?", (_clock(), member.group, member.name, member.epoch)
    )
    if updated.rowcount == 0:
        if epoch_of(db, member) is not None:
            raise _fenced(member)
        _enrol(db, member)  # the file was mended: everybody enters again
    _deal(db, member)


def leave(db: sqlite3.Connection, member: Membership) -> None:
    """Give a member's share back at once; the name and its epoch stay on record."""
    updated = db.execute(
        "UPDATE member SET heartbeat = 0 WHERE grp = ? AND name = ? AND epoch = ?", (member.group, member.name, member.epoch)
    )
    if updated.rowcount:
        _deal(db, member)


def epoch_of(db: sqlite3.Connection, member: Membership) -> int | None:
    """Return the epoch on record for a member's name; None when there is none. Needs no write transaction."""
    row = db.execute("SELECT epoch FROM member WHERE grp = ? AND name = ?", (member.group, member.name)).fetchone()
    return row[0] if row else None


def require_current(db: sqlite3.Connection, member: Membership) -> bool:
    """Return whether the member is on record. Raises Fenced if another holds its name. Needs no write transaction."""
    epoch = epoch_of(db, member)
    if epoch not in (None, member.epoch):
        raise _fenced(member)
    return epoch is not None


def generation(db: sqlite3.Connection, group: str) -> int:
    """Return a number that grows whenever leases change hands. Needs no write transaction."""
    row = db.execute("SELECT value FROM generation WHERE grp = ?", (group,)).fetchone()
    return row[0] if row else 0


def leases(db: sqlite3.Connection, member: Membership) -> dict[int, int]:
    """Return the lanes a member holds, each with the generation since when. Needs no write transaction."""
    rows = db.execute("SELECT lane, since FROM lease WHERE grp = ? AND member = ?", (member.group, member.name))
    return dict(rows.fetchall())


def _fenced(member: Membership) -> Fenced:
    return Fenced(f"another holder took over member {member.name!r} of group {member.group!r}")


def _enrol(db: sqlite3.Connection, member: Membership) -> None:
    db.execute(
        "INSERT OR REPLACE INTO member (grp, name, epoch, heartbeat, topics) VALUES (?, ?, ?, ?, ?)",
        (member.group, member.name, member.epoch, _clock(), json.dumps(member.topics)),
    )


def _deal(db: sqlite3.Connection, member: Membership) -> None:
    now = _clock()
    places = topic_places(db)
    rows = db.execute(
        "SELECT name, topics FROM member WHERE grp = ? AND heartbeat BETWEEN ? AND ? ORDER BY name",
        (member.group, max(1, now - member.session_us), now),
    )
    try:
        alive = [(name, {places[topic] for topic in json.loads(topics)}) for name, topics in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"the topics of a member of group {member.group!r} are damaged: {error!r}") from error
    wanted: dict[int, str] = {}
    for found in sorted(set().union(*(topics for _, topics in alive))):
        takers = [name for name, topics in alive if found in topics]
        wanted |= {found.lane + partition: takers[partition % len(takers)] for partition in range(found.partitions)}
    held = dict(db.execute("SELECT lane, member FROM lease WHERE grp = ?", (member.group,)).fetchall())
    if held == wanted:
        return
    since = max(times.now(), generation(db, member.group) + 1)
    db.execute("INSERT OR REPLACE INTO generation (grp, value) VALUES (?, ?)", (member.group, since))
    moved = [(member.group, lane, name, since) for lane, name in wanted.items() if held.get(lane) != name]
    db.executemany("INSERT OR REPLACE INTO lease (grp, lane, member, since) VALUES (?, ?, ?, ?)", moved)
    db.executemany("DELETE FROM lease WHERE grp = ? AND lane = ?", [(member.group, lane) for lane in held.keys() - wanted.keys()])
