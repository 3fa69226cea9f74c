"""Files that grow, are rotated, copied and written anew, with real files: each line is read once."""

import os
import random
import shutil
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.sources.file.config import FileConfig
from trunkline.sources.file.tests.support import TAG, Gateway

TIMED = {"timestamp": {"column": 1, "format": "epoch_s"}, "tags": [{**TAG, "column": 2}]}


def append(path: Path, *texts: str) -> None:
    with path.open("a") as file:
        file.writelines(texts)


def rows(start: int, end: int) -> str:
    return "".join(f"{number}\n" for number in range(start, end))


def timed(start: int, end: int) -> str:
    return "".join(f"{1_795_266_000 + number},{number}\n" for number in range(start, end))


async def connected(files: Path, tmp_path: Path, **options: Any) -> Gateway:
    gateway = Gateway(str(files), tmp_path, **options)
    await gateway.source.connect()
    return gateway


async def test_a_line_is_read_once_it_is_complete(tmp_path: Path) -> None:
    """W-45: a writer that stops in the middle of a line, also of a character, is waited for."""
    path = tmp_path / "a.csv"
    gateway = await connected(path, tmp_path, tags=[{**TAG, "kind": "text"}])
    assert await gateway.settle() == []  # the file is not there yet
    for part in (b"1\n2", b"", b"3\nSt\xc3", b"\xb6rung\n"):
        with path.open("ab") as file:
            file.write(part)
        await gateway.settle()
    assert gateway.values == ["1", "23", "St\u00f6rung"]
    assert gateway.source.undecodable == 0
    await gateway.source.close()


async def test_a_last_line_without_an_end_counts_when_it_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    append(path, "1\n2")
    gateway = await connected(path, tmp_path, last_line_after=0.1)
    assert await gateway.settle(0.3) == [1, 2]
    append(path, "\n3\n")
    await gateway.restart()
    assert await gateway.settle() == [1, 2, 3]
    await gateway.source.close()


async def test_what_is_not_kept_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    append(path, rows(0, 5))
    gateway = await connected(path, tmp_path)
    lost = await gateway.source.read()
    await lost.nack("the disk is full")
    with pytest.raises(SourceUnavailable, match="not connected"):
        await gateway.source.read()
    await gateway.source.connect()
    assert await gateway.settle() == [0, 1, 2, 3, 4]
    append(path, rows(5, 7))
    await gateway.source.read()
    await gateway.restart()
    assert await gateway.settle() == list(range(7))
    await gateway.source.close()


@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
@pytest.mark.parametrize("away", [False, True])
async def test_a_renamed_file_is_read_to_its_end(tmp_path: Path, pattern: str, away: bool) -> None:
    """With the gateway there and away, whether the new name matches or not; the inode of a deleted file may be given to the next."""
    log = tmp_path / "app.log"
    gateway = await connected(tmp_path / pattern, tmp_path)
    for turn in range(4):
        append(log, rows(10 * turn, 10 * turn + 5))
        await gateway.settle()
        if away:
            await gateway.source.close()
        append(log, rows(10 * turn + 5, 10 * turn + 10))
        (tmp_path / "app.log.1").unlink(missing_ok=True) if turn % 2 else None
        log.rename(tmp_path / f"app.log.{turn}")
        append(log, "")
        if away:
            await gateway.restart()
        await gateway.settle()
    assert gateway.values == list(range(40))
    await gateway.source.close()


async def test_a_deleted_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    append(path, rows(0, 3))
    gateway = await connected(path, tmp_path)
    await gateway.settle()
    append(path, rows(3, 6), "6")
    path.unlink()
    assert await gateway.settle() == list(range(7))
    append(path, rows(7, 9))
    assert await gateway.settle() == list(range(9))
    await gateway.source.close()


async def test_a_truncated_file_begins_anew(tmp_path: Path) -> None:
    """Also when it has grown beyond its old size before anybody looks, and over a restart."""
    path = tmp_path / "a.csv"
    append(path, rows(10, 20))
    gateway = await connected(path, tmp_path)
    await gateway.settle()
    path.write_text(rows(20, 23))
    await gateway.settle()
    path.write_text(rows(23, 60))
    await gateway.settle()
    await gateway.source.close()
    path.write_text(rows(60, 100))
    await gateway.restart()
    assert await gateway.settle() == list(range(10, 100))
    await gateway.source.close()


async def test_copies_are_known_by_their_content(tmp_path: Path) -> None:
    """`copytruncate`: what was written between the last read and the cut stands in the copy only; a slow copy is not a new file."""
    log, copy = tmp_path / "app.log", tmp_path / "app.log.1"
    append(log, timed(0, 300))
    gateway = await connected(tmp_path / "app.log*", tmp_path, **TIMED)
    await gateway.settle()
    text = log.read_bytes()
    for size in (0, 1, 700, 2000, len(text)):
        copy.write_bytes(text[:size])
        await gateway.settle()
    append(log, timed(300, 310))
    append(copy, timed(300, 310))
    log.write_text(timed(310, 315))
    await gateway.settle()
    await gateway.restart()
    assert sorted(map(int, map(str, await gateway.settle()))) == list(range(315))
    await gateway.source.close()


async def test_an_export_that_is_written_anew_is_read_on(tmp_path: Path) -> None:
    """Each export holds all rows so far; it replaces the last one, or comes under a name of its own, or after that one was deleted."""
    gateway = await connected(tmp_path / "*.csv", tmp_path, **TIMED)
    for turn, name in enumerate(("a", "a", "b", "c")):
        (tmp_path / "export").write_text(timed(0, 50 * turn + 50))
        if name == "c":
            for old in tmp_path.glob("*.csv"):
                old.unlink()
            await gateway.settle()
        (tmp_path / "export").rename(tmp_path / f"{name}.csv")
        await gateway.settle()
    assert gateway.values == list(range(200))
    await gateway.source.close()


async def test_equal_lines_without_a_time_are_new_in_a_new_file(tmp_path: Path) -> None:
    """Without a time nothing tells a copy from a device that says the same again."""
    gateway = await connected(tmp_path / "*.csv", tmp_path)
    for name in ("a", "b"):
        append(tmp_path / f"{name}.csv", rows(0, 3))
        await gateway.settle()
    assert gateway.values == [0, 1, 2, 0, 1, 2]
    await gateway.source.close()


async def test_another_pattern_goes_on_with_the_files_of_both(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.txt"):
        append(tmp_path / name, rows(0, 2))
    gateway = await connected(tmp_path / "*.csv", tmp_path)
    await gateway.settle()
    for name in ("a.csv", "b.csv"):
        append(tmp_path / name, rows(2, 3))
    await gateway.restart(files=str(tmp_path / "[bc].*"))
    assert Counter(await gateway.settle()) == Counter([0, 1, 0, 1, 2, 0, 1])
    await gateway.source.close()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("copies", [False, True])
async def test_every_line_is_read_once_whatever_happens(tmp_path: Path, seed: int, copies: bool) -> None:
    """W-16: growth in pieces, rotation, lost batches, restarts and new connections, in any order."""
    chance, log, written, rotated = random.Random(seed), tmp_path / "app.log", 0, 0
    gateway = await connected(tmp_path / "app.log*", tmp_path, **(TIMED if copies else {}))
    for _ in range(60):
        match chance.choice(("grow", "grow", "grow", "piece", "rotate", "lose", "restart", "keep", "keep")):
            case "grow":
                more = chance.randrange(1, 200)
                append(log, (timed if copies else rows)(written, written + more))
                written += more
            case "piece":
                text = (timed if copies else rows)(written, written + 1)
                cut = chance.randrange(len(text))
                append(log, text[:cut])
                await gateway.settle()
                append(log, text[cut:])
                written += 1
            case "rotate" if log.exists():
                rotated += 1
                if copies:
                    shutil.copyfile(log, tmp_path / f"app.log.{rotated}")
                    if chance.random() < 0.5:
                        await gateway.settle()
                    os.truncate(log, 0)
                else:
                    log.rename(tmp_path / f"app.log.{rotated}")
            case "lose":
                if (written - len(gateway.values)) > 0:
                    await (await gateway.source.read()).nack("the disk is full")
                    await gateway.source.connect()
            case "restart":
                await gateway.restart()
            case "keep":
                await gateway.settle()
    values = await gateway.settle()
    assert Counter(values) == Counter(range(written))
    await gateway.source.close()


async def test_a_line_that_is_too_long_is_passed_over(tmp_path: Path) -> None:
    """It comes in pieces, and is longer than what is read at once."""
    path = tmp_path / "a.csv"
    append(path, "1\n")
    gateway = await connected(path, tmp_path, max_line_bytes=1000)
    for _ in range(5):
        append(path, "x" * 700_000)
        await gateway.settle()
    append(path, "y\n2\n")
    assert await gateway.settle() == [1, 2]
    append(path, "3\n")
    await gateway.restart()
    assert await gateway.settle() == [1, 2, 3]
    assert [(one.attributes["line"], one.attributes["reason"]) for one in gateway.events] == [(2, "longer than 1000 bytes")]
    await gateway.source.close()


async def test_a_backlog_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """40 MB in two files, one of them garbage: a batch has a limit, and garbage does not flood."""
    (tmp_path / "a.csv").write_text(("1" * 15 + "\n") * 1_300_000)
    (tmp_path / "b.csv").write_text(("z" * 999 + "\n") * 20_000)
    gateway = await connected(tmp_path / "*.csv", tmp_path)
    count = lines = 0
    tracemalloc.start()
    for _ in range(20):
        batch = await gateway.source.read()
        assert len(batch.readings) <= 10_000
        assert len(batch.events) <= 1
        count += len(batch.readings)
        lines += sum(int(str(one.attributes["lines"])) for one in batch.events)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16_000_000
    assert count + lines == 20 * 5_000
    await gateway.source.close()


async def test_a_folder_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """The place in its files is kept: a share that comes back is read on."""
    folder = tmp_path / "share"
    gateway = Gateway(str(folder / "*" / "*.csv"), tmp_path)
    with pytest.raises(SourceUnavailable, match=r"share: no such file or directory: create or mount it, or mend 'files'"):
        await gateway.source.connect()
    (folder / "one").mkdir(parents=True)
    append(folder / "one" / "a.csv", rows(0, 3))
    await gateway.source.connect()
    await gateway.settle()
    folder.rename(tmp_path / "away")
    with pytest.raises(SourceUnavailable, match="mount"):
        await gateway.settle()
    append(tmp_path / "away" / "one" / "a.csv", rows(3, 5))
    (tmp_path / "away").rename(folder)
    await gateway.restart()
    assert await gateway.settle() == list(range(5))
    await gateway.source.close()


async def test_a_file_that_cannot_be_opened_stops_no_other(tmp_path: Path) -> None:
    """As root every file can be read, so one that is a link to itself stands for it."""
    (tmp_path / "a.csv").symlink_to(tmp_path / "a.csv")
    append(tmp_path / "b.csv", "1\n")
    gateway = await connected(tmp_path / "*.csv", tmp_path)
    assert await gateway.settle() == [1]
    assert [(one.type, one.attributes["file"]) for one in gateway.events] == [("FILE_UNREADABLE", str(tmp_path / "a.csv"))]
    await gateway.source.close()
    alone = Gateway(str(tmp_path / "a.csv"), tmp_path)
    with pytest.raises(SourceUnavailable, match="let the gateway's user read it"):
        await alone.source.connect()


async def test_the_place_of_another_source_is_refused(tmp_path: Path) -> None:
    gateway = Gateway(str(tmp_path / "a.csv"), tmp_path)
    gateway.checkpoint = '{"type":"sql"}'
    with pytest.raises(SourceMisconfigured, match="id of its own"):
        await gateway.source.connect()


WIDE = {"tags": [{"path": "P.A", "column": "a"}]}


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"files": "data/*.csv"}, "begin with '/'"),
        ({"encoding": "utf-16"}, "have the file written as UTF-8"),
        ({"encoding": "nonsense"}, "is no encoding"),
        ({"tags": [{"path": "P.A"}]}, "has no 'column'"),
        ({"tags": [{"path": "P.A", "column": "a", "name": "x"}]}, "take it out, or give 'long'"),
        ({"long": {"tag": "t", "value": "v"}, **WIDE}, "take it out, or leave 'long' out"),
        ({"long": {"tag": "t", "value": "v"}, "tags": [{"path": "P.A", "name": "x"}, {"path": "P.B", "name": "x"}]}, "same name 'x'"),
        ({"format": {"syntax": "csv", "header": 0}, **WIDE}, "columns are numbers"),
        ({"format": {"syntax": "csv", "header": 3, "first": 2}}, "must come after"),
        ({"format": {"syntax": "csv", "decimal": ","}}, "must differ"),
        ({"format": {"syntax": "lines", "pattern": "(?P<b>x)"}, **WIDE}, "there are b"),
        ({"format": {"syntax": "lines", "pattern": "x"}}, "no named group"),
        ({"format": {"syntax": "lines", "pattern": "("}}, "no regular expression"),
        ({"format": {"syntax": "jsonl"}, "tags": [{"path": "P.A", "column": 1}]}, "have names"),
        ({"format": {"syntax": "jsonl"}, "tags": [{"path": "P.A", "column": "$.["}]}, "not a JSONPath"),
        ({"timestamp": {"column": "t", "format": "%Y-%m-%d %H:%M"}, **WIDE}, "give 'zone'"),
        ({"timestamp": {"column": "t", "format": "%b %d %H:%M", "zone": "UTC"}, **WIDE}, "no whole date"),
        ({"timestamp": {"column": "t", "format": "HH:MM"}, **WIDE}, "is no time format"),
        ({"timestamp": {"column": "t", "zone": "Europe/Nowhere"}, **WIDE}, "is no time zone"),
        ({"timestamp": {"column": "t", "zone": "+1"}, **WIDE}, "no offset"),
    ],
)
def test_wrong_options_name_the_mend(section: dict[str, Any], says: str) -> None:
    """PD-27: a pattern without a zone is refused before anything is read."""
    with pytest.raises(ValidationError, match=says):
        FileConfig.model_validate({"id": "files", "files": "/data/a.csv", **section})
