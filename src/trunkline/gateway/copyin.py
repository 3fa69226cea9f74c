"""Bringing a copy-out into the site log: what forwarding would have done, by hand (decision 0012).

Records keep their headers and are marked as backlog. Whatever arrives a second time, by the link or by another import, has a range that
validation and the historian know (`BlockHead`), and is dropped there.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from trunkline.config.site import LogConfig
from trunkline.gateway.copies import as_sent
from trunkline.gateway.copyset import MANIFEST, Chunk, Manifest, Progress, read_file, read_manifest, set_key
from trunkline.ledger.status import BufferStatus, GatewayStatus, LinkStatus, decode_status, encode_status
from trunkline.log.codec.forms import Forms
from trunkline.log.codec.head import BACKLOG
from trunkline.log.journal.sealing import Key
from trunkline.log.opening import layout_of
from trunkline.log.port import Log, Record, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model.errors import CorruptData, Misconfigured, Rejected
from trunkline.model.reading import Category

#: Reports looked back at for the newest one of a gateway.
_REPORTS: Final = 5000
_LATE: Final = ((BACKLOG, b"1"),)


class Imported(NamedTuple):
    """What an import did: records that the site log took, and those that it refuses, which wait at the edge for the link."""

    records: int
    refused: int


def find_sets(folder: Path) -> list[Path]:
    """Return the set that a folder is, or those in it. Raises Misconfigured when there is none."""
    if (folder / MANIFEST).exists():
        return [folder]
    found = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}")) if folder.is_dir() else []
    if not found:
        raise Misconfigured(f"{folder} holds no copy-out: name the folder that 'trunkline journal export' wrote, or the stick")
    return found


def check_set(
    folder: Path,
    config: LogConfig,
    gateways: Sequence[str],
    progress: Progress = lambda _done, _of: None,
    key_of: Callable[[Manifest], Key | None] = lambda manifest: set_key(manifest, None),
) -> Manifest:
    """Look at every byte of a set before any of it is taken.

    Args:
        folder: the set.
        config: how the site names topics.
        gateways: those of the site.
        progress: told how many of how many bytes are done.
        key_of: returns the key of a set's records (`set_key`).

    Raises:
        WrongKey: it is sealed, and its key cannot be had.
        Misconfigured: it is unfinished, or of another site.
        CorruptData: it is damaged; the text names file and byte.
        RetryLater: it cannot be read.
    """
    manifest = read_manifest(folder)
    place = folder / MANIFEST
    if not manifest.complete:
        raise Misconfigured(f"{place}: the copy-out was interrupted: call 'trunkline journal export' again, it goes on")
    if manifest.gateway not in gateways:
        names = ", ".join(gateways) or "none"
        raise Misconfigured(f"{place}: gateway {manifest.gateway!r} is not of this site, whose gateways are {names}")
    ours, theirs = (config.layout, config.partitions), (manifest.layout, manifest.partitions)
    if ours != theirs:
        raise Misconfigured(
            f"{place}: written with layout {theirs[0]!r} and {theirs[1]} partitions, the site has {ours[0]!r} and {ours[1]}: "
            "its gateway is not of this site, or has an old site file"
        )
    known = {topic.name: topic.partitions for topic in layout_of(config).edge_catalogue()}
    key = key_of(manifest)
    total, done = sum(file.bytes for file in manifest.files), 0
    for file in manifest.files:
        for at, chunk in read_file(folder / file.name, file, key):
            if chunk.partition >= known.get(chunk.topic, 0):
                raise CorruptData(f"{folder / file.name}, byte {at}: {chunk.topic}/{chunk.partition} is not a partition of an edge")
            progress(done + at, total)
        done += file.bytes
    return manifest


def copy_in(
    site: Log,
    config: LogConfig,
    forms: Forms,
    folder: Path,
    manifest: Manifest,
    progress: Progress = lambda _done, _of: None,
    key: Key | None = None,
) -> Imported:
    """Append a checked set to the site log, and tell the ledger how much the edge had read.

    Args:
        site: the site log.
        config: how it names topics.
        forms: how readings are written there.
        folder: the set.
        manifest: as `check_set` returned it.
        progress: told how many of how many bytes are done.
        key: that of the set's records (`set_key`); None when it is not sealed.

    Raises:
        RetryLater: the site log is away; called again, what is there already is dropped as a repeat.
        CorruptData: the set was damaged since it was checked.
    """
    layout = layout_of(config)
    _tell_counts(site, layout, manifest)
    taken = refused = done = 0
    total = sum(file.bytes for file in manifest.files)
    for file in manifest.files:
        for at, chunk in read_file(folder / file.name, file, key):
            accepted = _append(site, chunk, forms, layout.categories("raw").get(chunk.topic))
            taken += accepted
            refused += len(chunk.records) - accepted
            progress(done + at, total)
        done += file.bytes
    return Imported(taken, refused)


def _append(site: Log, chunk: Chunk, forms: Forms, category: Category | None) -> int:
    """Append a chunk less what the site log refuses for its own sake; return how many records it took."""
    records = chunk.records
    while records:
        written = as_sent(forms, category, records, _LATE)
        owners = [row for row, several in enumerate(written) for _ in several]
        try:
            site.append(chunk.topic, [copy for several in written for copy in several], atomic=False)
            break
        except Rejected as refusal:
            bad = {owners[row] for row in refusal.rows} or set(range(len(records)))
            records = [one for row, one in enumerate(records) if row not in bad]
    return len(records)


def _tell_counts(site: Log, layout: Layout, manifest: Manifest) -> None:
    """Publish the edge's counts as its gateway would, unless it has reported since: what is settled must have been read."""
    if _newest_report(site, layout, manifest.origin) >= manifest.at_us:
        return
    waiting = sum(max(0, cell.read - cell.forwarded - cell.dropped) for cell in manifest.counts)
    status = GatewayStatus(
        gateway=manifest.gateway,
        origin=manifest.origin,
        at_us=manifest.at_us,
        version=manifest.software,
        sources=[],
        buffer=BufferStatus(waiting, 0, None, 0),
        link=LinkStatus("down", manifest.at_us, "its records were carried here by hand"),
        counts=manifest.counts,
    )
    site.append(layout.gateway_status, [Record(encode_status(status), key=manifest.gateway.encode())])


def _newest_report(site: Log, layout: Layout, origin: str) -> int:
    """Return when an edge journal last reported, as far as the last reports of all tell; 0 when it did not."""
    at = TopicPartition(layout.gateway_status, 0)
    first, end = site.bounds(layout.gateway_status)[at]
    offset, newest = max(first, end - _REPORTS), 0
    while offset < end and (records := site.read(at, offset, 1000)):
        for record in records:
            with suppress(CorruptData):
                known = decode_status(record.value)
                newest = max(newest, known.at_us) if known.origin == origin else newest
        offset = records[-1].offset + 1
    return newest
