"""What waits at an edge, carried to the site by hand: once in all, whatever comes twice."""

import hashlib
import shutil
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.conftest import CONFIG
from tests.gateway.edge_support import SLOTS, TAGS, alarm, fill, positions, readings, stored

from trunkline.config.site import LogConfig, ValidationConfig
from trunkline.config.tags import TagConfig
from trunkline.gateway.copyin import check_set, copy_in, find_sets
from trunkline.gateway.copyout import copy_out
from trunkline.gateway.copyset import MANIFEST, CopiedFile, read_file, read_manifest, set_key
from trunkline.gateway.edge import edge_counts
from trunkline.gateway.forwarder import Forwarder
from trunkline.gateway.outbox import Lane, Poison
from trunkline.ledger.coverage import Coverage
from trunkline.ledger.status import decode_status
from trunkline.log.codec import columns as codec
from trunkline.log.codec.forms import Forms
from trunkline.log.codec.head import BACKLOG, HEADER, BlockHead, decode_head, encode_head
from trunkline.log.journal.journal import Journal
from trunkline.log.journal.sealing import Key, WrongKey
from trunkline.log.opening import layout_of, open_edge_journal, open_site_journal
from trunkline.log.port import Log, Record, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model.errors import CorruptData, Misconfigured
from trunkline.model.reading import Category
from trunkline.processing.validate.step import ValidateStep

GATEWAYS = ("gw1",)
KEY, OTHER = Key(bytes(range(32))), Key(bytes(range(1, 33)))


def take(site: Log, folder: Path) -> int:
    """Import a set as the command does; return how many records were taken."""
    (found,) = find_sets(folder)
    return copy_in(site, CONFIG, Forms(), found, check_set(found, CONFIG, GATEWAYS)).records


def validated(site: Log, layout: Layout) -> list[int]:
    """Return the positions of everything that validation lets pass, class by class."""
    tags = {tag: TagConfig(path=tag) for tag in TAGS}
    raw = [record for topic in layout.categories("raw") for record in stored(site, topic)]
    clean: list[Record] = []
    step = ValidateStep(layout, tags, ValidationConfig())
    for record in raw:
        clean += [one for topic, several in step.process([record]).items() if topic in layout.categories("clean") for one in several]
    heads = [decode_head(header) for one in clean for name, header in one.headers if name == HEADER]
    return sorted(position for head in heads for position in range(head.lo, head.hi))


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


async def test_exported_imported_and_forwarded_all_again(
    edge: Journal, site: Log, open_site: Callable[[], Log], layout: Layout, stick: Path
) -> None:
    """PD-6, P-53: each reading passes validation once, by whichever way it came first; the counts of the edge come with the stick."""
    await fill(edge, layout, *(readings(start, 60) for start in range(0, 600, 60)), events=[alarm("one"), alarm("two")])
    folder, manifest = copy_out(edge, "gw1", CONFIG, stick)
    assert (manifest.complete, manifest.gateway, manifest.origin) == (True, "gw1", edge.id)
    assert take(site, stick) == manifest.records
    assert positions(site, layout) == list(range(600))
    assert len(stored(site, layout.topic(Category.ALARM, "raw"))) == 2
    records = stored(site, layout.topic(Category.TELEMETRY, "raw"))
    at_edge = {one.value: one for one in stored(edge, layout.topic(Category.TELEMETRY, "raw"))}
    for record in records:
        same = at_edge[record.value]
        assert (record.partition, record.key, record.timestamp) == (same.partition, same.key, same.timestamp)
        assert record.headers == (*same.headers, (BACKLOG, b"1"))
    (told,) = [decode_status(one.value) for one in stored(site, layout.gateway_status)]
    assert (told.gateway, told.origin, told.counts) == ("gw1", edge.id, edge_counts(edge.tallies()))
    assert sum(cell.forwarded for cell in told.counts) == 0, "at the edge it goes on waiting"

    assert take(site, folder) == manifest.records, "a second import is harmless"
    assert len(stored(site, layout.gateway_status)) == 1
    await fill(edge, layout, readings(600, 60))
    forwarder = Forwarder(edge, open_site, layout)
    while forwarder.step():
        pass
    assert Counter(positions(site, layout)) == Counter({**dict.fromkeys(range(600), 3), **dict.fromkeys(range(600, 660), 1)})
    clean = validated(site, layout)
    per_partition = Counter(clean)
    expected = Counter(
        position
        for at in edge.bounds(layout.topic(Category.TELEMETRY, "raw"))
        for head in codec.decode(edge.read(at, 0, 10_000)).heads
        for position in range(head.lo, head.hi)
    )
    events = [decode_head(one.header(HEADER) or b"") for one in stored(edge, layout.topic(Category.ALARM, "raw"))]
    expected += Counter(position for head in events for position in range(head.lo, head.hi))
    assert per_partition == expected
    (cell,) = [one for one in edge_counts(edge.tallies()) if one.category == "telemetry"]
    assert (cell.read, cell.forwarded, cell.dropped) == (660, 660, 0)


async def test_only_what_waits_or_everything_or_a_span_of_time(
    edge: Journal, site: Log, open_site: Callable[[], Log], layout: Layout, stick: Path
) -> None:
    """PD-10: resend by time range; log lines stay, for nothing would tell their repeats."""
    await fill(edge, layout, *(readings(start, 60) for start in range(0, 300, 60)))
    forwarder = Forwarder(edge, open_site, layout)
    while forwarder.step():
        pass
    edge.append(layout.platform_log, [Record(b"line")])
    await fill(edge, layout, readings(300, 60))
    _, waiting = copy_out(edge, "gw1", CONFIG, stick)
    topic = layout.topic(Category.TELEMETRY, "raw")
    assert {run.topic for run in waiting.runs} == {topic}
    assert waiting.records == 3
    shutil.rmtree(stick)
    stick.mkdir()
    _, all_of_it = copy_out(edge, "gw1", CONFIG, stick, everything=True)
    assert all_of_it.records == 18
    shutil.rmtree(stick)
    stick.mkdir()
    stamps = sorted({record.timestamp for record in stored(edge, topic)})
    _, some = copy_out(edge, "gw1", CONFIG, stick, everything=True, since=stamps[1], until=stamps[3])
    assert some.records == sum(stamps[1] <= record.timestamp < stamps[3] for record in stored(edge, topic))
    assert some.records < 18


class Pulled(Exception):
    """The stick was pulled out."""


async def test_an_interrupted_export_goes_on(edge: Journal, site: Log, layout: Layout, stick: Path) -> None:
    """Finished files stay, the half one is written anew, nothing twice; a file ends with the chunk that passes its bound."""
    await fill(edge, layout, *(readings(start, 30) for start in range(0, 90, 30)), events=[alarm()])
    calls = 0

    def pull(_done: int, _of: int) -> None:
        nonlocal calls
        calls += 1
        if calls in {2, 4}:
            raise Pulled

    at_first: set[Path] = set()
    while True:
        try:
            folder, manifest = copy_out(edge, "gw1", CONFIG, stick, progress=pull, file_bytes=1)
            break
        except Pulled:
            (only,) = stick.iterdir()
            with pytest.raises(Misconfigured, match="was interrupted"):
                check_set(only, CONFIG, GATEWAYS)
            at_first |= set(only.glob("*.tlk"))
    assert calls > 4
    assert at_first
    assert list(stick.iterdir()) == [folder]
    assert len(manifest.files) > 1
    assert take(site, stick) == manifest.records
    assert positions(site, layout) == list(range(90))


async def test_a_sealed_export_goes_on_only_with_its_own_key(edge: Journal, site: Log, layout: Layout, stick: Path) -> None:
    """Neither a set that was begun in the clear nor one of another key is gone on with; each is left as it is."""
    await fill(edge, layout, readings(0, 60))

    def pull(_done: int, _of: int) -> None:
        raise Pulled

    for key in (None, OTHER, KEY):
        with pytest.raises(Pulled):
            copy_out(edge, "gw1", CONFIG, stick, progress=pull, key=key)
        for folder in stick.iterdir():  # sets of one second would share a name
            if not folder.name.endswith(f"-{key}"):
                folder.rename(folder.with_name(f"{folder.name}-{key}"))
    folder, manifest = copy_out(edge, "gw1", CONFIG, stick, key=KEY)
    assert len(list(stick.iterdir())) == 3
    with pytest.raises(WrongKey, match="no key was given"):
        check_set(folder, CONFIG, GATEWAYS)
    with pytest.raises(WrongKey, match=f"not with {OTHER.fingerprint}"):
        set_key(manifest, OTHER)
    found = check_set(folder, CONFIG, GATEWAYS, key_of=lambda one: set_key(one, KEY))
    done = copy_in(site, CONFIG, Forms(), folder, found, key=set_key(found, KEY))
    assert (done.records, positions(site, layout)) == (manifest.records, list(range(60)))


async def test_chunks_that_were_exchanged_on_the_stick_do_not_open(edge: Journal, layout: Layout, stick: Path) -> None:
    """Every checksum of file and manifest is right again, as after somebody who had the stick in his hands."""
    await fill(edge, layout, *(readings(start, 60) for start in range(0, 120, 60)))
    folder, manifest = copy_out(edge, "gw1", CONFIG, stick, key=KEY, file_bytes=1)
    check_set(folder, CONFIG, GATEWAYS, key_of=lambda one: set_key(one, KEY))
    first, *_, last = manifest.files
    bodies = [_bodies(folder / one.name) for one in (first, last)]
    head, chunk = bodies[0]
    forged = chunk[: _BODY_HEAD + len("telemetry.raw")] + bodies[1][1][_BODY_HEAD + len("telemetry.raw") :]
    content = head + struct.pack("<II", len(forged), zlib.crc32(forged)) + forged
    (folder / first.name).write_bytes(content)
    same = CopiedFile(first.name, len(content), hashlib.sha256(content).hexdigest(), first.records)
    with pytest.raises(CorruptData, match=rf"{first.name}, byte \d+: a chunk cannot be read: the seal does not open"):
        list(read_file(folder / first.name, same, set_key(manifest, KEY)))


_BODY_HEAD = struct.calcsize("<HIqqIB")


def _bodies(path: Path) -> tuple[bytes, bytes]:
    """Return what stands before the only chunk of a file, and its body."""
    content = path.read_bytes()
    start = content.index(b"\n", content.index(b"\n") + 1) + 1
    (length,) = struct.unpack_from("<I", content, start)
    assert start + 8 + length == len(content)
    return content[:start], content[start + 8 :]


@pytest.mark.parametrize("seed", range(6))
async def test_a_damaged_stick_is_refused_with_file_and_byte(edge: Journal, site: Log, layout: Layout, stick: Path, seed: int) -> None:
    """Nothing of it is taken, wherever the damage is."""
    await fill(edge, layout, *(readings(start, 60) for start in range(0, 300, 60)))
    folder, manifest = copy_out(edge, "gw1", CONFIG, stick)
    file = folder / manifest.files[0].name
    content = bytearray(file.read_bytes())
    place = len(content) * (seed + 1) // 7
    content[place] ^= 0x40
    file.write_bytes(content)
    with pytest.raises(CorruptData, match=rf"{file.name}, byte (\d+): ") as refusal:
        take(site, stick)
    offset = int(str(refusal.value).split("byte ")[1].split(":")[0])
    assert offset <= place
    assert positions(site, layout) == []
    assert stored(site, layout.gateway_status) == []


async def test_sticks_that_are_foreign_cut_short_or_incomplete(edge: Journal, layout: Layout, stick: Path, tmp_path: Path) -> None:
    await fill(edge, layout, *(readings(start, 60) for start in range(0, 300, 60)))
    folder, manifest = copy_out(edge, "gw1", CONFIG, stick)
    check_set(folder, CONFIG, GATEWAYS)
    with pytest.raises(Misconfigured, match=r"gateway 'gw1' is not of this site"):
        check_set(folder, CONFIG, ("gw2",))
    with pytest.raises(Misconfigured, match=r"3 partitions, the site has 'gateway' and 4"):
        check_set(folder, LogConfig(partitions=4), GATEWAYS)
    with pytest.raises(Misconfigured, match="holds no copy-out"):
        find_sets(tmp_path / "nothing")
    file = folder / manifest.files[0].name
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    with pytest.raises(CorruptData, match=rf"{file.name}, byte \d+"):
        check_set(folder, CONFIG, GATEWAYS)
    file.unlink()
    with pytest.raises(CorruptData, match=rf"{file.name} is missing"):
        check_set(folder, CONFIG, GATEWAYS)
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"gateway": "gw1"', '"gateway": "gw2"'))
    with pytest.raises(CorruptData, match="manifest fails its checksum"):
        read_manifest(folder)
    (folder / MANIFEST).write_text("{}")
    with pytest.raises(Misconfigured, match="something else"):
        read_manifest(folder)


@pytest.mark.parametrize("layout_name", ["isa95", "petroleum"])
def test_every_partition_of_every_layout(tmp_path: Path, stick: Path, layout_name: Literal["isa95", "petroleum"]) -> None:
    """Topics of events have partitions of their own number."""
    config = LogConfig(layout=layout_name, partitions=1)
    names = layout_of(config)
    with open_edge_journal(config, tmp_path, "gw1") as edge, open_site_journal(config, tmp_path) as site:
        places = [at for topic in names.categories("raw") for at in edge.bounds(topic)]
        for number, at in enumerate(places):
            head = encode_head(BlockHead(edge.id, 0, 1, ()))
            edge.append(at.topic, [Record(b"%d" % number, headers=((HEADER, head),), partition=at.partition)])
        folder, manifest = copy_out(edge, "gw1", config, stick)
        # Forms() leaves values as they are
        done = copy_in(site, config, Forms(), folder, check_set(folder, config, GATEWAYS))
        assert done.records == manifest.records == len(places)
        for number, at in enumerate(places):
            assert [record.value for record in site.read(at, 0)] == [b"%d" % number]


@given(
    st.integers(0, 30),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=2),
    st.sets(st.integers(0, 12), max_size=3),
    st.integers(0, 20),
)
def test_what_waits_is_what_is_copied(live: int, backlog: list[tuple[int, int]], poison: set[int], first: int) -> None:
    """Spans of a lane are the offsets that wait, each once, whatever was pruned in front."""
    lane = Lane(live)
    reached = 0
    for gap, length in backlog:
        start = reached + gap
        if length and start + length <= live:
            lane.backlog = [*lane.backlog, (start, start + length)]
            reached = start + length
    lane.poison = [Poison(offset, 1, 0, "") for offset in sorted(poison) if offset < live and not lane.waits(offset)]
    end = live + 5
    spans = lane.spans(first, end)
    covered = [offset for start, stop in spans for offset in range(start, stop)]
    assert covered == [offset for offset in range(first, end) if lane.waits(offset)]


async def test_a_report_of_the_gateway_that_is_newer_stands(edge: Journal, site: Log, layout: Layout, stick: Path) -> None:
    """The link may have returned before the stick arrived: older counts must not be shown as the newest."""
    await fill(edge, layout, readings(0, 60))
    folder, manifest = copy_out(edge, "gw1", CONFIG, stick)
    take(site, stick)
    (first,) = stored(site, layout.gateway_status)
    newer = first.value.replace(str(manifest.at_us).encode(), str(manifest.at_us + 1).encode(), 1)
    assert decode_status(newer).at_us == manifest.at_us + 1
    site.append(layout.gateway_status, [Record(newer, key=b"gw1")])
    take(site, folder)
    assert len(stored(site, layout.gateway_status)) == 2
    at = TopicPartition(layout.topic(Category.TELEMETRY, "raw"), SLOTS[TAGS[0]].partition)
    heads = [decode_head(record.header(HEADER) or b"") for record in site.read(at, 0, 100)]
    assert Coverage((head.lo, head.hi) for head in heads).holes() == ()
