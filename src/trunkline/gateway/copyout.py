"""Copying out what waits in an edge journal, for a stick that is carried to the site (decision 0012).

The journal is only read, also while its gateway runs: what was copied goes on waiting, and is forwarded as well when the link returns.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from trunkline import __version__
from trunkline.config.site import LogConfig
from trunkline.gateway.copyset import FILE_BYTES, MANIFEST, FileWriter, Manifest, Progress, Run, read_manifest, set_key, write_manifest
from trunkline.gateway.edge import edge_counts
from trunkline.gateway.outbox import Lane, Outbox
from trunkline.log.journal.journal import Journal
from trunkline.log.journal.sealing import Key
from trunkline.log.opening import layout_of
from trunkline.log.port import StoredRecord, TopicPartition
from trunkline.model import times
from trunkline.model.errors import CorruptData, Misconfigured, RetryLater

_RECORDS: Final = 200


def copy_out(
    journal: Journal,
    gateway: str,
    config: LogConfig,
    target: Path,
    *,
    everything: bool = False,
    since: int | None = None,
    until: int | None = None,
    progress: Progress = lambda _done, _of: None,
    file_bytes: int = FILE_BYTES,
    key: Key | None = None,
) -> tuple[Path, Manifest]:
    """Write a set into a folder of its own under `target`, or go on with one that was interrupted.

    Args:
        journal: the edge journal.
        gateway: whose it is.
        config: how topics are named.
        target: the stick.
        everything: what was forwarded as well, not only what waits.
        since: only records with this timestamp or a later one, µs UTC.
        until: only records with an earlier one.
        progress: told how many of how many offsets are done.
        file_bytes: a file is ended when it passes this.
        key: the key that the gateway has in the site file: the set is sealed as the journal is.

    Returns:
        The folder and its manifest.

    Raises:
        CorruptData: the stick gave back something else than was written.
        RetryLater: the stick is full or cannot be written; called again, the work goes on.
        Misconfigured: there is no such folder.
    """
    if not target.is_dir():
        raise Misconfigured(f"{target} is no folder: is the stick mounted?")
    try:
        begun = _unfinished(target, gateway, journal.id, key)
        folder, manifest = begun or _begin(journal, gateway, config, target, everything, since, until, key)
        manifest = _copy(journal, folder, manifest, progress, file_bytes, set_key(manifest, key))
    except OSError as error:
        raise RetryLater(f"{target} cannot be written: {error.strerror}: with room there, call this again and it goes on") from error
    return folder, manifest


def _unfinished(target: Path, gateway: str, origin: str, key: Key | None) -> tuple[Path, Manifest] | None:
    """Return a set that can be gone on with: of this journal, and sealed as it would be sealed now."""
    for path in sorted(target.glob(f"{gateway}-*/{MANIFEST}")):
        try:
            manifest = read_manifest(path.parent)
            sealed = set_key(manifest, key) is not None
        except (CorruptData, Misconfigured):
            continue
        if manifest.origin == origin and not manifest.complete and sealed == (key is not None):
            return path.parent, manifest
    return None


def _begin(
    journal: Journal,
    gateway: str,
    config: LogConfig,
    target: Path,
    everything: bool,
    since: int | None,
    until: int | None,
    key: Key | None,
) -> tuple[Path, Manifest]:
    now = times.now()
    runs = list(_runs(journal, config, everything=everything))
    # after the runs: whatever they reach has been counted by now
    counts = edge_counts(journal.tallies())
    wrapped = key.wrap(Key.random()) if key is not None else ""
    manifest = Manifest(gateway, journal.id, config.layout, config.partitions, __version__, now, runs, since, until, counts, key=wrapped)
    folder = target / f"{gateway}-{times.to_iso(now)[:19].replace(':', '').replace('-', '')}"
    folder.mkdir()
    write_manifest(folder, manifest)
    return folder, manifest


def _runs(journal: Journal, config: LogConfig, *, everything: bool) -> Iterator[Run]:
    """Yield what is to be copied. Log lines stay: they have no identity by which the site could tell a repeat."""
    layout = layout_of(config)
    lanes = Outbox(journal).lanes
    for topic in (*layout.categories("raw"), layout.overflow):
        for at, (first, end) in journal.bounds(topic).items():
            spans = [(first, end)] if everything else lanes.get(at, Lane()).spans(first, end)
            yield from (Run(at.topic, at.partition, start, stop) for start, stop in spans if start < stop)


def _copy(journal: Journal, folder: Path, manifest: Manifest, progress: Progress, file_bytes: int, key: Key | None) -> Manifest:
    total = sum(run.next - run.first for run in manifest.runs)
    number, reached = manifest.done
    while number < len(manifest.runs):
        with FileWriter(folder, len(manifest.files) + 1, manifest, key) as writer:
            while number < len(manifest.runs) and (writer.bytes < file_bytes or not writer.records):
                run = manifest.runs[number]
                records, reached = _next(journal, run, max(reached, run.first))
                if wanted := [one for one in records if _within(one, manifest)]:
                    writer.add(wanted)
                if reached >= run.next:
                    number, reached = number + 1, 0
                progress(_done(manifest.runs, number, reached), total)
            files = [*manifest.files, writer.finish()] if writer.records else manifest.files
        manifest = msgspec.structs.replace(manifest, files=files, done=(number, reached))
        write_manifest(folder, manifest)
    manifest = msgspec.structs.replace(manifest, complete=True)
    write_manifest(folder, manifest)
    return manifest


def _next(journal: Journal, run: Run, start: int) -> tuple[list[StoredRecord], int]:
    """Return the records from `start` on and where to go on; what the gateway gave up meanwhile is not among them."""
    records = [one for one in journal.read(TopicPartition(run.topic, run.partition), start, _RECORDS) if one.offset < run.next]
    return records, records[-1].offset + 1 if records else run.next


def _within(record: StoredRecord, manifest: Manifest) -> bool:
    return (manifest.since_us is None or record.timestamp >= manifest.since_us) and (
        manifest.until_us is None or record.timestamp < manifest.until_us
    )


def _done(runs: list[Run], number: int, reached: int) -> int:
    before = sum(run.next - run.first for run in runs[:number])
    return before + (max(0, reached - runs[number].first) if number < len(runs) else 0)
