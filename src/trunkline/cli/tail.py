"""`trunkline tail`: what lies in a topic, decoded, and what comes."""

import signal
import threading
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from trunkline.cli.kafka_login import Login, browsing, logged_in
from trunkline.cli.moment import moment
from trunkline.cli.output import emit, people, plain
from trunkline.cli.telling import telling
from trunkline.config.loading import load
from trunkline.log.following import Start, follow, partitions_of, positions_at, read_between, read_last
from trunkline.log.port import Log, StoredRecord
from trunkline.log.unpack import Unpacked, form_of, unpack
from trunkline.model import times

_LIMIT: Final = 20
_SHOWN: Final = 160


def tail(
    file: Annotated[Path, typer.Argument(help="the site file")],
    topic: Annotated[str, typer.Argument(help="topic; 'trunkline topics list' shows them")],
    decode: Annotated[bool, typer.Option("--decode", help="show what is inside: readings of blocks, events, JSON")] = False,
    key: Annotated[str, typer.Option(help="only records with this key, and readings of this tag; 'PLANT01.*' for all that begin so")] = "",
    start: Annotated[
        str, typer.Option("--from", help="earliest, latest, an offset, an ISO 8601 time with a zone, or '15m', '2h', '3d' back from now")
    ] = "latest",
    partition: Annotated[int | None, typer.Option(help="only this partition")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help=f"records at most; {_LIMIT} unless --follow")] = None,
    follow_on: Annotated[bool, typer.Option("--follow", "-f", help="go on with what comes, until Ctrl-C")] = False,
    login: Login = "",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per record")] = False,
) -> None:
    """Show records of a topic. Without --from: the newest ones; nothing is committed."""
    with telling():
        begin = _start(start)
        site = logged_in(load(file), login)
        chosen = Chosen(key, decode=decode)
        wanted = limit if limit is not None else (None if follow_on else _LIMIT)
        with browsing(site) as log:
            shown = _show(_records(log, topic, begin, partition, wanted, chosen.matches, follow_on=follow_on), chosen, as_json=as_json)
    if not as_json and not follow_on:
        people.print(f"{shown:,} record{'s' if shown != 1 else ''}" if shown else "no such records")


class Chosen:
    """Which records and readings are shown, and how much of them.

    Args:
        key: of records, or tag of readings; '*' at its end stands for anything.
        decode: whether to look inside.
    """

    def __init__(self, key: str, *, decode: bool) -> None:
        self._key = key.removesuffix("*")
        self._prefix = key.endswith("*")
        self.decode = decode

    def matches(self, record: StoredRecord) -> bool:
        """Return whether a record is asked for: by its key, or by the tags of its readings."""
        if not self._key and not self._prefix:
            return True
        if record.key is not None and self._fits(record.key.decode(errors="replace")):
            return True
        return form_of(record) == "block" and bool(self.within(unpack(record)).content)

    def within(self, unpacked: Unpacked) -> Unpacked:
        """Return a block with the readings asked for; anything else as it is."""
        if unpacked.form != "block" or unpacked.problem or not (self._key or self._prefix):
            return unpacked
        return unpacked._replace(content=[one for one in unpacked.content if self._fits(one["tag"])])

    def _fits(self, text: str) -> bool:
        return text.startswith(self._key) if self._prefix else text == self._key


def _start(text: str) -> Start:
    if text in ("earliest", "latest"):
        return Start("earliest" if text == "earliest" else "latest")
    if text.isdigit():
        return Start("offset", int(text))
    return Start("time", moment(text))


def _records(
    log: Log, topic: str, start: Start, partition: int | None, limit: int | None, wanted: Callable[[StoredRecord], bool], *, follow_on: bool
) -> Iterable[StoredRecord]:
    bounds = partitions_of(log, topic, partition)
    if start.at == "latest" and not follow_on:
        return read_last(log, bounds, limit or _LIMIT, wanted)
    positions = positions_at(log, bounds, start)
    if not follow_on:
        return islice(read_between(log, positions, bounds, wanted), limit)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return islice(follow(log, positions, wanted, stop), limit)


def _show(records: Iterable[StoredRecord], chosen: Chosen, *, as_json: bool) -> int:
    shown = 0
    for record in records:
        shown += 1
        unpacked = chosen.within(unpack(record)) if chosen.decode else None
        if as_json:
            emit(document(record, unpacked))
        else:
            _print(record, unpacked)
    return shown


def document(record: StoredRecord, unpacked: Unpacked | None) -> dict[str, Any]:
    """Return a record for machines; `content` and `problem` only where it was unpacked."""
    found: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": times.to_iso(record.timestamp),
        "key": None if record.key is None else record.key.decode(errors="replace"),
        "headers": [name for name, _ in record.headers],
        "bytes": len(record.value),
        "form": unpacked.form if unpacked else form_of(record),
    }
    if unpacked is not None:
        found["content"] = unpacked.content
        if unpacked.problem:
            found["problem"] = unpacked.problem
    return found


def _print(record: StoredRecord, unpacked: Unpacked | None) -> None:
    key = "" if record.key is None else f" {record.key.decode(errors='replace')}"
    form = unpacked.form if unpacked else form_of(record)
    place = f"{record.partition}@{record.offset}"
    people.print(
        f"[bold]{place}[/] {times.to_iso(record.timestamp)}{plain(key)} [dim]{form}, {len(record.value):,} bytes[/]", soft_wrap=True
    )
    if unpacked is None:
        return
    if unpacked.problem:
        people.print(f"  [yellow]![/] {plain(unpacked.problem)}", soft_wrap=True)
    if unpacked.form == "block" and not unpacked.problem:
        for one in unpacked.content:
            people.print(f"  {plain(one['time'])} {plain(one['tag'])} = {plain(one['value'])} {plain(one['quality'])}", soft_wrap=True)
    elif isinstance(unpacked.content, dict):
        for name, value in unpacked.content.items():
            if value not in ("", None, {}):
                people.print(f"  {plain(name)}: {plain(str(value)[:_SHOWN])}", soft_wrap=True)
    else:
        people.print(f"  {plain(str(unpacked.content)[:_SHOWN])}", soft_wrap=True)
