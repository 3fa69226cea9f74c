"""A source in a process of its own: the port over the pipe, and every way in which the process can fail its gateway."""

import asyncio
import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
import yaml
from tests.gateway.isolation import unruly

from trunkline.config.site import BufferConfig
from trunkline.gateway.edge import EdgeWriter
from trunkline.gateway.isolation import process as process_module
from trunkline.gateway.isolation.proxy import IsolatedSource, SourceDefect
from trunkline.gateway.runner import SourceRunner
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Positions
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.sources.port import CommandOutcome, SourceContext, WriteCommand, plugin, plugins

TAG = "P.A.U1.T"
Make = Callable[..., IsolatedSource]


@pytest_asyncio.fixture
async def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    made: list[IsolatedSource] = []
    unruly.install(tmp_path, monkeypatch)
    monkeypatch.setattr(process_module, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(process_module, "HANGING", 30)
    monkeypatch.setattr(process_module, "STARTING", 600)

    def one(fault: str = "", *, secret: str = "hunter2222", starting: asyncio.Semaphore | None = None, **options: Any) -> IsolatedSource:
        section = {"id": "odd", "type": "unruly", "isolate": "process", "fault": fault, "tags": [{"path": TAG}], **options}
        config = plugin("unruly").config.model_validate(section)
        context = SourceContext("gw1", tmp_path, times.now, {"${secret:x}": secret}.__getitem__)
        made.append(IsolatedSource(config, context, starting))
        return made[-1]

    yield one
    for source in made:
        await source.end()


async def reads(source: IsolatedSource, count: int) -> list[float]:
    values = []
    for _ in range(count):
        batch = await source.read()
        values += [float(one.value) for one in batch.readings if isinstance(one.value, float)]
        await batch.ack()
    return values


async def fails(source: IsolatedSource) -> str:
    """Read until the source is unavailable; return why."""
    async with asyncio.timeout(60):
        while True:
            try:
                await reads(source, 1)
            except SourceUnavailable as error:
                return str(error)


def pid_of(source: IsolatedSource) -> int:
    status = source.status()
    assert status is not None
    return status.pid


async def told(marker: Path, word: str) -> None:
    async with asyncio.timeout(30):
        while not marker.exists() or word not in marker.read_text():
            await asyncio.sleep(0.02)


async def test_the_port_works_over_the_pipe(make: Make, tmp_path: Path) -> None:
    """W-36, W-45, D-7: reading, acknowledging, refusing, writing, browsing, closing; the process stays for the next connection."""
    marker = tmp_path / "marker"
    source = make(marker=str(marker))
    with pytest.raises(SourceUnavailable, match="not connected"):
        await source.read()
    await source.connect()
    assert await reads(source, 3) == [1.0, 2.0, 3.0]
    await told(marker, "ack\nack\nack\n")
    await (await source.read()).nack("the disk is full")
    await told(marker, "nack the disk is full\n")
    assert await source.write(WriteCommand(TAG, 1.0)) is CommandOutcome.DONE
    assert [node.address for node in await source.browse("")] == ["a", "b"]
    pid = pid_of(source)
    assert pid != os.getpid()
    await source.close()
    await source.close()
    await source.connect()
    assert pid_of(source) == pid
    assert await reads(source, 1) == [1.0]
    await source.end()
    assert not psutil.pid_exists(pid)
    await source.connect()
    assert await reads(source, 1) == [1.0]


async def test_the_source_hears_of_it_only_after_the_journal_has_it(
    make: Make, edge: Journal, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D-7, W-55: the acknowledgement goes back over the pipe once the write is durable. The journal's answer is held, not faked."""
    real, durable, asked, marker = edge.append_many, threading.Event(), threading.Event(), tmp_path / "marker"

    def append_many(appends: Any, **options: Any) -> Positions:
        if any(topic.startswith("telemetry") for topic in appends):
            asked.set()
            durable.wait(30)
        return real(appends, **options)

    monkeypatch.setattr(edge, "append_many", append_many)
    writer = EdgeWriter(edge, layout, BufferConfig(linger_ms=1), wrote=threading.Event())
    writer.start()
    source = make(marker=str(marker), after=1000)
    running = asyncio.create_task(SourceRunner(source._config, source, writer, layout).run())
    assert await asyncio.to_thread(asked.wait, 30)
    await asyncio.sleep(0.5)
    assert not marker.exists()
    durable.set()
    await told(marker, "ack\nack\n")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await asyncio.to_thread(writer.stop)


async def test_a_cancelled_read_loses_nothing(make: Make) -> None:
    source = make(after=1000)
    await source.connect()
    values = []
    for _ in range(20):
        with contextlib.suppress(TimeoutError):
            values += await asyncio.wait_for(reads(source, 1), 0.001)
    values += await reads(source, 3)
    assert values == [float(number) for number in range(1, len(values) + 1)]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("segfault", "it was ended by SIGSEGV; its last words: Fatal Python error: Segmentation fault .*unruly_source"),
        ("exit", "it ended with exit status 7"),
        ("hang", "no sign of life"),
        ("spin", "no sign of life"),
        ("garble", "cannot be understood"),
    ],
)
async def test_a_process_that_fails_is_unavailable_and_starts_again(make: Make, fault: str, says: str) -> None:
    """W-36, W-39, D-10: told with its exit status or signal and its last words; the next connection has a new process."""
    source = make(fault)
    await source.connect()
    pid = pid_of(source)
    why = await fails(source)
    assert re.search(says, why, re.DOTALL), why
    assert f"process {pid} of source odd" in why
    assert not psutil.pid_exists(pid)
    await source.close()
    await source.connect()
    assert pid_of(source) != pid
    assert await reads(source, 1) == [1.0]
    status = source.status()
    assert status is not None
    assert status.restarts == 1


async def test_a_process_that_hangs_while_it_starts_keeps_nobody_from_starting(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """W-36: starts take turns, so that many do not storm the machine, but no turn lasts for ever."""
    monkeypatch.setattr("trunkline.gateway.isolation.proxy.STARTING_SECONDS", 0.5)
    one_at_a_time = asyncio.Semaphore(1)
    hanging = asyncio.create_task(make("hang", at="create", starting=one_at_a_time).connect())
    await asyncio.sleep(0)
    source = make(starting=one_at_a_time)
    await source.connect()
    assert await reads(source, 1) == [1.0]
    assert not hanging.done()
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)


async def test_a_killed_process_is_told(make: Make) -> None:
    source = make()
    await source.connect()
    os.kill(pid_of(source), signal.SIGKILL)
    assert "it was ended by SIGKILL" in await fails(source)


async def test_a_gateway_that_hangs_blames_nobody(make: Make) -> None:
    """Silence is counted while the gateway itself listens: after a hang of its own the process is the one that was there before."""
    source = make(after=1000, pause=6)
    await source.connect()
    pid = pid_of(source)
    reading = asyncio.create_task(reads(source, 1))
    await asyncio.sleep(0.3)
    time.sleep(4)  # the whole event loop stands still while it waits for the process
    assert await reading == [1.0]
    assert pid_of(source) == pid


async def test_a_leak_ends_at_the_limit(make: Make) -> None:
    """W-57: without control groups the gateway looks at the resident memory."""
    source = make("leak", resources={"memory": "96M"})
    await source.connect()
    why = await fails(source)
    assert "of memory, and 'resources.memory' allows 96M" in why


async def test_one_gulp_is_refused_by_the_kernel(make: Make) -> None:
    """W-57: RLIMIT_DATA stops what would be over before anybody looks."""
    source = make("gulp", resources={"memory_limit": "96M"})
    await source.connect()
    assert "wanted more memory than 'resources.memory' allows" in await fails(source)


async def test_burning_the_processor_ends_at_the_limit(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """W-57: it still gives signs of life, and is ended all the same; it runs at lower priority meanwhile."""
    monkeypatch.setattr("trunkline.gateway.isolation.limits.CPU_WINDOW", 2.0)
    source = make("burn", resources={"cpu_limit": "0.1"})
    await source.connect()
    assert psutil.Process(pid_of(source)).nice() >= min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    assert "'resources.cpu' allows 0.1" in await fails(source)


async def test_a_write_into_a_dying_process_is_unknown(make: Make) -> None:
    """The device may have acted."""
    source = make("exit", at="write")
    await source.connect()
    assert await source.write(WriteCommand(TAG, 1.0)) is CommandOutcome.UNKNOWN
    with pytest.raises(SourceUnavailable, match="exit status 7"):
        await source.write(WriteCommand(TAG, 1.0))


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        ("defect", SourceDefect, "ValueError: frame too short"),
        ("away", SourceUnavailable, "the device does not answer"),
        ("wrong", SourceMisconfigured, "no such unit id"),
    ],
)
@pytest.mark.parametrize("at", ["connect", "read"])
async def test_errors_come_back_as_what_they_are(make: Make, fault: str, error: type[Exception], says: str, at: str) -> None:
    source = make(fault, at=at, after=0)

    async def fail() -> None:
        await source.connect()
        await source.read()

    with pytest.raises(error, match=says):
        await fail()


async def test_a_batch_that_cannot_be_acknowledged_ends_the_connection(make: Make) -> None:
    """The device may offer it again: the source is not read on as if nothing had been."""
    source = make("away", at="ack")
    await source.connect()
    assert "the device does not answer" in await fails(source)


async def test_a_process_that_cannot_close_is_ended(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.gateway.isolation.proxy._CLOSE_SECONDS", 0.5)
    source = make("hang", at="close")
    await source.connect()
    pid = pid_of(source)
    await source.close()
    async with asyncio.timeout(30):
        while psutil.pid_exists(pid):
            await asyncio.sleep(0.02)
    await source.connect()
    assert await reads(source, 1) == [1.0]


async def test_secrets_come_over_the_socket_and_are_told_to_nobody(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """W-167: not on the command line, not in the environment, not in what is told of the process."""
    shown: list[str] = []
    monkeypatch.setattr(process_module.log, "warning", lambda event, **_: shown.append(event))
    source = make("tell", password="${secret:x}")
    await source.connect()
    process = psutil.Process(pid_of(source))
    assert "hunter2222" not in " ".join([*process.cmdline(), *process.environ().values()])
    why = await fails(source)
    assert "exit status 9" in why
    assert "the password is ***" in why
    assert shown == ["the password is ***"]


async def test_a_flood_of_log_lines_is_bounded(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(process_module.log, "warning", lambda event, **_: shown.append(event))
    source = make("flood", at="connect")
    await source.connect()
    assert len(await reads(source, 20)) == 20
    assert 0 < sum(line.startswith("line ") for line in shown) < 2_500
    assert "log lines of a source were left out" in shown


async def test_the_gateways_clock_rules(make: Make, tmp_path: Path) -> None:
    """Readings are stamped with the clock that the gateway hands in, wherever the source runs."""
    config = plugin("unruly").config.model_validate({"id": "odd", "type": "unruly", "isolate": "process", "tags": [{"path": TAG}]})
    offset = -times.HOUR
    source = IsolatedSource(config, SourceContext("gw1", tmp_path, lambda: times.now() + offset, str))
    await source.connect()
    (reading,) = (await source.read()).readings
    assert abs(reading.gateway_time - (times.now() - times.HOUR)) < times.MINUTE
    await source.end()


async def test_a_process_in_a_crash_loop_is_started_with_growing_pauses(make: Make) -> None:
    source = make("exit", after=0)
    pauses = []
    for _ in range(3):
        await source.connect()
        pauses.append(source._pause)
        await fails(source)
        await source.close()
    assert pauses == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("name", sorted(plugins()))
def test_sections_survive_the_way_to_the_process(name: str) -> None:
    """What the process makes of a section is what the gateway made of it, for every plugin's example."""
    found = plugin(name)
    package = Path(str(__import__(found.config.__module__, fromlist=["x"]).__file__)).parent
    config = found.config.model_validate(yaml.safe_load((package / "example.yaml").read_text()))
    assert found.config.model_validate_json(config.model_dump_json(exclude_unset=True, by_alias=True)) == config
