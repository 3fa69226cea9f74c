"""The files of a copy-out: what waits in an edge journal, carried to the site by hand (decision 0012).

A set is a folder: `manifest.json`, and files `000001.tlk`, `000002.tlk`, … below 4 GiB, which is what FAT takes. A file begins with two
lines of text, the format's name and a JSON object that says whose it is; then chunks follow, little-endian::

    u32 length of the body    u32 CRC-32 of the body
    body: u16 length of the topic, u32 partition, i64 first offset, i64 last offset, u32 records, u8 codec, topic,
          and a batch as in the journal (`trunkline.log.journal.frames`)

The set of a sealed journal is sealed: each batch with a key of the set's own, bound to what its chunk says before it. The manifest holds
that key, wrapped by the gateway's.

The manifest names every file with its length and SHA-256, and carries one of itself.
"""

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

import msgspec

from trunkline.ledger.status import EdgeCount
from trunkline.log.journal import frames
from trunkline.log.journal.marks import sync_folder
from trunkline.log.journal.sealing import Key, WrongKey, needed
from trunkline.log.port import Record, StoredRecord
from trunkline.model.errors import CorruptData, Misconfigured, RetryLater

MANIFEST: Final = "manifest.json"
_FORMAT: Final = "trunkline copy-out 1"
#: Releases that cannot open a sealed set do not know this one.
_SEALED_FORMAT: Final = "trunkline copy-out 2"
_FIRST_LINE: Final = b"TRUNKLINE COPY-OUT 1\n"
#: A file is ended when it passes this.
FILE_BYTES: Final = 1 << 30
_CHUNK: Final = struct.Struct("<II")
_BODY: Final = struct.Struct("<HIqqIB")
_LARGEST_BODY: Final = 1 << 30
_PIECE: Final = 1 << 20

Progress = Callable[[int, int], None]


class CopiedFile(msgspec.Struct, frozen=True):
    """One finished file: its name in the folder, length, SHA-256 and records."""

    name: str
    bytes: int
    sha256: str
    records: int


class Run(msgspec.Struct, frozen=True):
    """Offsets [first, next) of a partition that are to be copied."""

    topic: str
    partition: int
    first: int
    next: int


class Manifest(msgspec.Struct, frozen=True):
    """What a set is.

    Attributes:
        gateway: whose journal it was.
        origin: id of that journal.
        layout, partitions: how its topics are named and numbered; the site's must be the same.
        software: version that wrote it.
        at_us: when it was begun, µs UTC.
        runs: what is to be copied, in this order.
        since_us, until_us: only records with a timestamp in between; None where nothing bounds them.
        counts: the edge's side of the ledger, not older than what is copied.
        done: place in `runs` and offset up to which the finished files reach.
        complete: whether everything is copied.
        files: the finished ones.
        key: the key of a sealed set, wrapped; empty when it is not sealed.
    """

    gateway: str
    origin: str
    layout: str
    partitions: int
    software: str
    at_us: int
    runs: list[Run]
    since_us: int | None
    until_us: int | None
    counts: list[EdgeCount]
    done: tuple[int, int] = (0, 0)
    complete: bool = False
    files: list[CopiedFile] = []
    key: str = ""

    @property
    def records(self) -> int:
        """Records in the finished files."""
        return sum(file.records for file in self.files)


class Chunk(NamedTuple):
    """Records of one partition, as they lay in the edge journal."""

    topic: str
    partition: int
    records: list[StoredRecord]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step, durably."""
    plain = {"format": _SEALED_FORMAT if manifest.key else _FORMAT, **msgspec.to_builtins(manifest)}
    plain["sha256"] = _digest(plain)
    fresh = folder / f"{MANIFEST}.new"
    with fresh.open("w") as file:
        json.dump(plain, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(folder / MANIFEST)
    sync_folder(folder)


def read_manifest(folder: Path) -> Manifest:
    """Return what a set is.

    Raises:
        Misconfigured: the folder is no set, or one of a newer release.
        CorruptData: its manifest is damaged.
    """
    path = folder / MANIFEST
    try:
        plain = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise Misconfigured(f"{folder} is no copy-out: it has no {MANIFEST}") from None
    except (OSError, ValueError) as error:
        raise CorruptData(f"{path}: the manifest cannot be read: {error}: copy out again") from error
    if not isinstance(plain, dict) or plain.get("format") not in (_FORMAT, _SEALED_FORMAT):
        raise Misconfigured(f"{path} is no manifest of '{_SEALED_FORMAT}': it is something else, or of a newer release")
    if plain.pop("sha256", None) != _digest(plain):
        raise CorruptData(f"{path}: the manifest fails its checksum: copy out again")
    del plain["format"]
    try:
        return msgspec.convert(plain, Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptData(f"{path}: {error}: copy out again") from error


def set_key(manifest: Manifest, given: Key | None) -> Key | None:
    """Return the key of a set's records, None when it is not sealed. Raises WrongKey."""
    if not manifest.key:
        return None
    if given is None:
        raise WrongKey(f"the copy-out is sealed with the key {needed(manifest.key)}, and no key was given")
    try:
        return given.unwrap(manifest.key)
    except WrongKey as error:
        raise WrongKey(f"the copy-out is {error}") from None


def _digest(plain: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class FileWriter:
    """One file of a set while it is written: `<name>.part` until it was read back.

    Args:
        folder: of the set.
        number: of the file, from 1.
        manifest: says whose it is.
        key: seals the records; None leaves them readable.
    """

    def __init__(self, folder: Path, number: int, manifest: Manifest, key: Key | None) -> None:
        self._key = key
        self.path = folder / f"{number:06d}.tlk"
        self._part = folder / f"{number:06d}.part"
        self._file = self._part.open("wb")
        self._sum = hashlib.sha256()
        self.bytes = 0
        self.records = 0
        head = {"gateway": manifest.gateway, "origin": manifest.origin, "at_us": manifest.at_us, "file": number}
        self._write(_FIRST_LINE + json.dumps(head).encode() + b"\n")

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._sum.update(data)
        self.bytes += len(data)

    def add(self, records: Sequence[StoredRecord]) -> None:
        """Append records of one partition as a chunk."""
        first, last = records[0], records[-1]
        plain = [Record(one.value, one.key, one.headers, one.timestamp) for one in records]
        codec, stored = frames.pack(frames.encode(plain, first.timestamp)[0])
        topic = first.topic.encode()
        codec |= frames.SEALED if self._key is not None else 0
        head = _BODY.pack(len(topic), first.partition, first.offset, last.offset, len(records), codec) + topic
        body = head + (self._key.seal(stored, head) if self._key is not None else stored)
        self._write(_CHUNK.pack(len(body), zlib.crc32(body)) + body)
        self.records += len(records)

    def finish(self) -> CopiedFile:
        """Make the file durable, read it back and give it its name. Raises CorruptData when the disk gives back something else."""
        self._file.flush()
        os.fsync(self._file.fileno())
        os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # or the page cache would be checked, not the stick
        self._file.close()
        finished = CopiedFile(self.path.name, self.bytes, self._sum.hexdigest(), self.records)
        for _ in read_file(self._part, finished, self._key):
            pass
        self._part.replace(self.path)
        sync_folder(self.path.parent)
        return finished

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)


def read_file(path: Path, expected: CopiedFile, key: Key | None) -> Iterator[tuple[int, Chunk]]:
    """Yield each chunk of a file and the byte after it; what was yielded is whole only when the end is reached.

    Raises:
        CorruptData: the file is missing, shorter or longer than it was, or fails a checksum; the text names the byte.
        RetryLater: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256()

            def take(count: int) -> bytes:
                data = file.read(count)
                if len(data) != count:
                    raise CorruptData(f"{path}, byte {file.tell()}: the file ends in the middle of a chunk: copy out again")
                digest.update(data)
                return data

            head = take(len(_FIRST_LINE))
            if head != _FIRST_LINE:
                raise CorruptData(f"{path}, byte 0: not a file of a copy-out, or damaged: copy out again")
            while take(1) != b"\n":
                pass
            at = file.tell()
            while at < size:
                length, check = _CHUNK.unpack(take(_CHUNK.size))
                if length > min(_LARGEST_BODY, size - at) or zlib.crc32(body := take(length)) != check:
                    raise CorruptData(f"{path}, byte {at}: a chunk fails its checksum: copy out again")
                chunk = _chunk(body, path, at, key)
                at = file.tell()
                yield at, chunk
            if size != expected.bytes or digest.hexdigest() != expected.sha256:
                raise CorruptData(f"{path}, byte {at}: the file is not the one that the manifest names: copy out again")
    except FileNotFoundError:
        raise CorruptData(f"{path} is missing: copy it as well, or copy out again") from None
    except OSError as error:
        raise RetryLater(f"{path} cannot be read: {error.strerror}") from error


def _chunk(body: bytes, path: Path, at: int, key: Key | None) -> Chunk:
    try:
        length, partition, first, _, count, codec = _BODY.unpack_from(body)
        head, stored = body[: _BODY.size + length], body[_BODY.size + length :]
        topic = head[_BODY.size :].decode()
        if key is not None:
            stored, codec = key.open(stored, head), codec & ~frames.SEALED
        opened = frames.decode(frames.unpack(codec, stored))
    except (struct.error, UnicodeDecodeError, CorruptData) as error:
        raise CorruptData(f"{path}, byte {at}: a chunk cannot be read: {error}") from error
    if len(opened.values) != count:
        raise CorruptData(f"{path}, byte {at}: a chunk holds {len(opened.values)} records instead of {count}")
    columns = zip(opened.timestamps, opened.keys, opened.values, opened.headers, strict=True)
    return Chunk(topic, partition, [StoredRecord(topic, partition, first + row, *one) for row, one in enumerate(columns)])
