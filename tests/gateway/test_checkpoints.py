"""Where a source stands is durable if, and only if, what it read is: sources that can go back neither lose nor repeat a reading."""

import asyncio
import contextlib
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from trunkline.config.site import BufferConfig, LogConfig
from trunkline.config.tags import Deadband, SourceConfig, TagConfig
from trunkline.gateway import runner as runners
from trunkline.gateway.edge import EdgeWriter
from trunkline.gateway.runner import SourceRunner
from trunkline.log.codec import columns as codec
from trunkline.log.journal.journal import Journal
from trunkline.log.opening import layout_of, open_site_journal
from trunkline.log.port import Positions
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import RetryLater, SourceUnavailable
from trunkline.model.reading import Category, Reading
from trunkline.sources.port import BrowseNode, CommandOutcome, ReadBatch, WriteCommand

CONFIG = SourceConfig(id="counter", type="simulated", tags=(TagConfig(path="P.T", kind="integer"),))
PATIENCE = 30.0


def writer_of(journal: Journal, layout: Layout) -> EdgeWriter:
    return EdgeWriter(journal, layout, BufferConfig(linger_ms=1), wrote=threading.Event())


def stored(log: Journal, layout: Layout) -> list[int]:
    """Values in the order of their positions, each position once: a resend by the forwarder is no second reading."""
    topic = layout.topic(Category.TELEMETRY, "raw")
    columns = codec.decode([record for at in log.bounds(topic) for record in log.read(at, 0, 100_000)])
    return [value for _, value in sorted(dict(zip(columns.seq.tolist(), columns.integer.tolist(), strict=True)).items())]


class Counter:
    """A source that can go back: it reads 0, 1, 2… from where its checkpoint says."""

    def __init__(self, checkpoint: Callable[[], str | None], end: int) -> None:
        self._checkpoint = checkpoint
        self._end = end
        self._next = 0
        self.starts: list[int] = []
        self.trouble: Callable[[int], bool] = lambda _number: False

    async def connect(self) -> None:
        self._next = int(self._checkpoint() or 0)
        self.starts.append(self._next)

    async def read(self) -> ReadBatch:
        await asyncio.sleep(0 if self._next < self._end else 600)
        number, self._next = self._next, self._next + 1
        if self.trouble(number):
            raise SourceUnavailable("the line is cut")
        return ReadBatch([Reading("P.T", number, 0, None, times.now())], checkpoint=str(self._next))

    async def write(self, command: WriteCommand) -> CommandOutcome:
        raise NotImplementedError

    async def browse(self, at: str) -> list[BrowseNode]:
        raise NotImplementedError

    async def close(self) -> None:
        pass


class Disk:
    """A journal that fills up on demand. The journal's own tests fill a real file; here the moment is the test's choice."""

    def __init__(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        real = journal.append_many

        def append_many(*arguments: Any, **options: Any) -> Positions:
            if self.full:
                raise RetryLater("database or disk is full")
            return real(*arguments, **options)

        monkeypatch.setattr(journal, "append_many", append_many)


async def test_a_checkpoint_is_durable_with_the_readings_or_not_at_all(
    edge: Journal, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, writer = Disk(edge, monkeypatch), writer_of(edge, layout)
    writer.start()
    assert writer.checkpoint("counter") is None
    await writer.submit((), checkpoint=("counter", "one"))
    await writer.submit((), checkpoint=("other", "x"))
    assert (writer.checkpoint("counter"), writer.checkpoint("other")) == ("one", "x")
    disk.full = True
    waiting = asyncio.create_task(writer.submit((), checkpoint=("counter", "two")))
    while writer.error is None:
        await asyncio.sleep(0.01)
    assert writer.checkpoint("counter") == "one"
    await asyncio.to_thread(writer.abandon)
    with pytest.raises(RetryLater):
        await waiting
    again = writer_of(edge, layout)
    assert again.checkpoint("counter") == "one"


async def run_until(runner: SourceRunner, enough: Callable[[], bool]) -> None:
    task = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(PATIENCE):
            while not enough():
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_source_that_is_cut_while_the_disk_is_full_repeats_nothing(
    edge: Journal, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch under way stays in the queue for longer than a source is waited for: a new connection must not read it again."""
    monkeypatch.setattr(runners, "_CLOSE_TIMEOUT", 0.05)
    monkeypatch.setattr(runners, "FIRST_PAUSE", 0.01)
    disk, writer = Disk(edge, monkeypatch), writer_of(edge, layout)
    writer.start()
    source = Counter(lambda: writer.checkpoint("counter"), 40)
    cuts = {7, 20}

    def trouble(number: int) -> bool:
        if number not in cuts:
            return False
        cuts.discard(number)
        disk.full = True
        asyncio.get_running_loop().call_later(0.5, setattr, disk, "full", False)
        return True

    source.trouble = trouble
    await run_until(SourceRunner(CONFIG, source, writer, layout), lambda: writer.checkpoint("counter") == "40")
    await asyncio.to_thread(writer.stop)
    assert stored(edge, layout) == list(range(40))
    assert len(source.starts) == 3


async def test_readings_that_a_deadband_holds_back_are_read_for_good(edge: Journal, layout: Layout) -> None:
    writer = writer_of(edge, layout)
    writer.start()
    still = CONFIG.model_copy(update={"tags": (TagConfig(path="P.T", kind="integer", deadband=Deadband(absolute=1000)),)})
    source = Counter(lambda: writer.checkpoint("counter"), 30)
    await run_until(SourceRunner(still, source, writer, layout), lambda: writer.checkpoint("counter") == "30")
    await asyncio.to_thread(writer.stop)
    assert stored(edge, layout) == [0]


LOG = LogConfig(partitions=2)


class Site:
    """A gateway process with one source, killed again and again, and what arrives in the site log."""

    def __init__(self, folder: Path, source: str) -> None:
        self._file = folder / "site.yaml"
        self._file.write_text(f"site: test\nlog: {{partitions: 2}}\ngateways:\n  - id: gw1\n    admin_port: 0\n    sources:\n{source}")
        self._process: subprocess.Popen[bytes] | None = None
        self.log = open_site_journal(LOG, folder / "data")

    def start(self) -> None:
        command = [sys.executable, "-m", "trunkline.cli.entry", "run", "gateway", str(self._file), "--id", "gw1"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(40)
            self._process = None

    def values(self) -> list[int]:
        return stored(self.log, layout_of(LOG))

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while len(self.values()) < count:
            assert time.monotonic() < deadline, f"{len(self.values())} of {count} arrived"
            time.sleep(0.05)


@pytest.fixture
def site_of(tmp_path: Path) -> Iterator[Callable[[str], Site]]:
    made: list[Site] = []

    def make(source: str) -> Site:
        made.append(Site(tmp_path, source))
        return made[-1]

    yield make
    for site in made:
        site.end(signal.SIGKILL)
        site.log.close()


FILES = """
      - id: loggers
        type: file
        files: {folder}/app.log*
        format: {{syntax: jsonl}}
        poll_seconds: 0.02
        tags:
          - {{path: P.A.U1.COUNT, kind: integer, column: n, time: gateway}}
"""


def test_a_killed_gateway_reads_every_line_of_a_rotated_file_once(tmp_path: Path, site_of: Callable[[str], Site]) -> None:
    """W-16, P-117: SIGKILLs at random moments while the file grows in pieces and is renamed; lines have no time that could tell repeats."""
    folder, chance = tmp_path / "logs", random.Random(11)
    folder.mkdir()
    site = site_of(FILES.format(folder=folder))
    done = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        pieces = 0
        while not done.is_set():
            text = "".join(f'{{"n": {number}}}\n' for number in range(written, written + chance.randrange(1, 12)))
            cut = chance.randrange(len(text))
            with (folder / "app.log").open("a") as file:
                for part in (text[:cut], text[cut:]):
                    file.write(part)
                    file.flush()
                    time.sleep(0.01)
            written += text.count("\n")
            pieces += 1
            if pieces % 40 == 0:
                (folder / "app.log").rename(folder / f"app.log.{pieces // 40}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            site.start()
            site.wait_for(len(site.values()) + 100)
            time.sleep(chance.random() * 0.2)
            site.end(signal.SIGKILL)
    finally:
        done.set()
        writer.join()
    site.start()
    site.wait_for(written)
    site.end(signal.SIGTERM)
    assert site.values() == list(range(written))


HOOKS = """
      - id: hooks
        type: webhook
        port: {port}
        tags:
          - {{path: P.A.U1.COUNT, kind: integer, value: $.n, time: gateway}}
"""


def test_a_killed_gateway_stores_every_post_once(site_of: Callable[[str], Site]) -> None:
    """W-16, P-117: a sender repeats what was not answered, with the same key; some answers are lost by the kill."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    site, chance, done = site_of(HOOKS.format(port=port)), random.Random(5), threading.Event()
    posted = 0

    def send() -> None:
        nonlocal posted
        with httpx.Client(timeout=5) as client:
            while not done.is_set():
                try:
                    answer = client.post(f"http://127.0.0.1:{port}/", json={"n": posted}, headers={"idempotency-key": f"post-{posted}"})
                except httpx.HTTPError:
                    time.sleep(0.02)
                    continue
                if answer.status_code == 200:
                    posted += 1

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for _ in range(3):
            site.start()
            site.wait_for(len(site.values()) + 15)
            time.sleep(chance.random() * 0.2)
            site.end(signal.SIGKILL)
        site.start()
        site.wait_for(len(site.values()) + 15)
    finally:
        done.set()
        sender.join()
    site.end(signal.SIGTERM)
    assert site.values() == list(range(posted))


TABLES = """
      - id: mes
        type: sql
        file: {file}
        query: SELECT n FROM c WHERE n > :since ORDER BY n
        cursor: n
        start: -1
        poll_seconds: 0.02
        tags:
          - {{path: P.A.U1.COUNT, kind: integer, column: n, time: gateway}}
"""


def test_a_killed_gateway_reads_every_row_once(tmp_path: Path, site_of: Callable[[str], Site]) -> None:
    """W-16, P-117: SIGKILLs at random moments while another program writes to the table."""
    file, chance, done = tmp_path / "device.sqlite", random.Random(17), threading.Event()
    written = 0
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE c (n INTEGER PRIMARY KEY)")

    def write() -> None:
        nonlocal written
        with contextlib.closing(sqlite3.connect(file)) as connection:
            while not done.is_set():
                more = chance.randrange(1, 12)
                with connection:
                    connection.executemany("INSERT INTO c VALUES (?)", [(number,) for number in range(written, written + more)])
                written += more
                time.sleep(0.02)

    site = site_of(TABLES.format(file=file))
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            site.start()
            site.wait_for(len(site.values()) + 100)
            time.sleep(chance.random() * 0.2)
            site.end(signal.SIGKILL)
    finally:
        done.set()
        writer.join()
    site.start()
    site.wait_for(written)
    site.end(signal.SIGTERM)
    assert site.values() == list(range(written))
