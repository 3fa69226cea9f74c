"""Readings that a step makes: numbered, written into the raw topics, and told to the ledger as gateways tell theirs (decision 0016)."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from trunkline.log.codec.head import HEADER, decode_head
from trunkline.log.codec.writer import Rows, write_rows
from trunkline.log.port import Record
from trunkline.log.topics import Layout
from trunkline.processing.account import Account
from trunkline.processing.port import Outputs

_SEQUENCE: Final = "sequence"
_COUNT: Final = "count "


class Emitted(NamedTuple):
    """A record and its topic."""

    topic: str
    record: Record


class _Sequence(msgspec.Struct):
    """Where numbering stands; see `trunkline.log.codec.head.BlockHead`.

    Attributes:
        origin: identity of this numbering: a new one where there are no entries.
        next: position of the next reading.
        covered: per lane (`Layout.lane_of`), where its last block ended.
    """

    origin: str
    next: int = 0
    covered: dict[int, int] = {}


class Author:
    """Writes readings of tags that no device has.

    Args:
        layout: names of the topics.
        name: of the gateway and source that the ledger knows the step as.
        tags: how many tags there are.
        new_origin: identity for the readings of a step that starts without entries: one that was never used before.
    """

    def __init__(self, layout: Layout, name: str, tags: int, new_origin: str) -> None:
        self._layout = layout
        self._sequence = _Sequence(new_origin)
        self._account = Account(name, tags)
        self._changed: set[str] = {_SEQUENCE}

    def write(self, rows: Rows) -> list[Emitted]:
        """Return the blocks of these readings, for the lanes of their tags (`TagSlot.partition`)."""
        numbering = self._sequence
        self._account.newest = int(rows.time.max())
        records, numbering.next = write_rows(numbering.origin, numbering.next, numbering.covered, [rows])
        self._changed.add(_SEQUENCE)
        return [self._addressed(record) for record in records]

    def report(self, now: int) -> list[Emitted]:
        """Return the report to the ledger, when it is due (now: µs UTC)."""
        if not self._account.due(now):
            return []
        return [Emitted(self._layout.gateway_status, self._account.report(self._sequence.origin, now))]

    def _addressed(self, record: Record) -> Emitted:
        """Count a block and send it to its lane."""
        header = dict(record.headers)[HEADER]
        head = decode_head(header)
        lane = record.partition
        assert lane is not None, "blocks are written for a lane"
        self._sequence.covered[lane] = head.hi
        self._changed.update(f"{_COUNT}{hour}" for hour in self._account.add(head))
        at = self._layout.place_of(lane)
        return Emitted(at.topic, record._replace(partition=at.partition))

    def changed(self) -> dict[str, bytes | None]:
        """Return the entries that changed since the last call, to be committed with what was written."""
        keys, self._changed = self._changed, set()
        return {key: self._entry(key) for key in sorted(keys)}

    def entries(self) -> dict[str, bytes]:
        """Return every entry."""
        return {key: self._entry(key) for key in (_SEQUENCE, *(f"{_COUNT}{hour}" for hour in self._account.by_hour))}

    def restore(self, entries: Mapping[str, bytes]) -> set[str]:
        """Take what is the author's among entries; return the keys taken."""
        taken = {key for key in entries if key == _SEQUENCE or key.startswith(_COUNT)}
        for key in taken:
            if key == _SEQUENCE:
                self._sequence = msgspec.msgpack.decode(entries[key], type=_Sequence)
                self._changed.discard(_SEQUENCE)
            else:
                self._account.restore(int(key.removeprefix(_COUNT)), msgspec.msgpack.decode(entries[key], type=int))
        return taken

    def _entry(self, key: str) -> bytes:
        if key == _SEQUENCE:
            return msgspec.msgpack.encode(self._sequence)
        return msgspec.msgpack.encode(self._account.by_hour[int(key.removeprefix(_COUNT))])


def outputs(emitted: list[Emitted]) -> Outputs:
    """Return records by topic, in their order."""
    out: Outputs = {}
    for topic, record in emitted:
        out.setdefault(topic, []).append(record)
    return out
