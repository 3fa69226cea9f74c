"""A source in a container of its own. No engine can run here: `docker_program.py` stands in for it, and everything else is real."""

import asyncio
import itertools
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from pydantic import ValidationError
from tests.gateway.isolation import engines, unruly
from tests.gateway.isolation.engines import AWAY, DENIED, IMAGE, Docker
from tests.gateway.isolation.test_isolated import TAG, fails, reads, told
from tests.gateway.test_role import Process, until

from trunkline.config.tags import Container, Resources, SourceConfig
from trunkline.gateway.isolation import container as container_module
from trunkline.gateway.isolation import process as process_module
from trunkline.gateway.isolation.container import FOLDER, USER, ContainerRunner
from trunkline.gateway.isolation.engine import EngineInfo, find
from trunkline.gateway.isolation.proxy import IsolatedSource
from trunkline.model import times
from trunkline.model.errors import SourceUnavailable
from trunkline.sources.port import CommandOutcome, SourceContext, WriteCommand, plugin

NAME = "trunkline-gw1-odd"
Make = Callable[..., IsolatedSource]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    return engines.install(tmp_path, monkeypatch)


@pytest_asyncio.fixture
async def make(docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    made: list[IsolatedSource] = []
    unruly.install(tmp_path, monkeypatch)
    monkeypatch.setattr(process_module, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(process_module, "HANGING", 30)
    monkeypatch.setattr(process_module, "STARTING", 600)
    folder = tmp_path / "folder"
    folder.mkdir()

    def one(
        fault: str = "", *, container: dict[str, Any] | None = None, starting: asyncio.Semaphore | None = None, **options: Any
    ) -> IsolatedSource:
        how = {"image": IMAGE, **(container or {})}
        section = {"id": "odd", "type": "unruly", "isolate": "container", "container": how, "fault": fault, "tags": [{"path": TAG}]}
        config = plugin("unruly").config.model_validate({**section, **options})
        context = SourceContext("gw1", folder, times.now, {"${secret:x}": "hunter2222"}.__getitem__)
        made.append(IsolatedSource(config, context, starting))
        return made[-1]

    yield one
    for source in made:
        await source.end()
    docker.end_all()


def client_of(source: IsolatedSource) -> int:
    status = source.status()
    assert status is not None
    return status.pid


async def removed(docker: Docker) -> None:
    async with asyncio.timeout(30):
        while docker.containers():
            await asyncio.sleep(0.02)


async def test_the_port_works_over_standard_input_and_output(make: Make, docker: Docker, tmp_path: Path) -> None:
    """W-36, W-45, D-7: reading, acknowledging, refusing, writing, browsing, closing; the container stays for the next connection."""
    marker = tmp_path / "marker"
    source = make(marker=str(marker))
    await source.connect()
    assert await reads(source, 3) == [1.0, 2.0, 3.0]
    await told(marker, "ack\nack\nack\n")
    await (await source.read()).nack("the disk is full")
    await told(marker, "nack the disk is full\n")
    assert await source.write(WriteCommand(TAG, 1.0)) is CommandOutcome.DONE
    assert [node.address for node in await source.browse("")] == ["a", "b"]
    (before,) = docker.containers().values()
    await source.close()
    await source.connect()
    assert list(docker.containers()) == [NAME]
    assert docker.containers()[NAME] == before
    assert await reads(source, 1) == [1.0]
    await source.end()
    assert docker.containers() == {}
    assert docker.commands("kill") == []
    await source.connect()
    assert await reads(source, 1) == [1.0]


def words_of(command: list[str], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(command) if name == option]


async def test_it_gets_what_its_section_says_and_no_more(make: Make, docker: Docker, tmp_path: Path) -> None:
    """W-57, D-7: no rights, no new ones, nothing to write to but its own folder and memory; an operator finds it by its labels."""
    (tmp_path / "recipes, old").mkdir()
    mounts = [{"from": str(tmp_path / "recipes, old"), "to": "/recipes"}]
    container = {"devices": ["/dev/null:/dev/ttyUSB0:rw"], "network": "none", "mounts": mounts, "user": "123:456"}
    source = make(container=container, resources={"cpu": 0.5, "memory": "256M"})
    await source.connect()
    (command,) = docker.commands("run")
    options, program = command[: command.index(IMAGE)], command[command.index(IMAGE) + 1 :]
    assert program == ["-m", "trunkline.gateway.isolation.child", "stdio", "1"]
    for flag in ("--rm", "--interactive", "--read-only", "--no-healthcheck"):
        assert flag in options
    for option, values in {
        "--name": [NAME],
        "--pull": ["never"],
        "--user": ["123:456"],
        "--cap-drop": ["ALL"],
        "--security-opt": ["no-new-privileges"],
        "--network": ["none"],
        "--device": ["/dev/null:/dev/ttyUSB0:rw"],
        "--memory": [str(256 * 2**20)],
        "--memory-swap": [str(256 * 2**20)],
        "--cpus": ["0.5"],
        "--pids-limit": ["256"],
        "--log-driver": ["none"],
        "--entrypoint": ["python"],
        "--mount": [
            f"type=bind,source={tmp_path}/folder,target={FOLDER}",
            f'type=bind,"source={tmp_path}/recipes, old",target=/recipes,readonly',
        ],
        "--label": ["trunkline.gateway=gw1", "trunkline.source=odd", f"trunkline.folder={tmp_path}/folder"],
    }.items():
        assert words_of(options, option) == values, option
    assert not any(word in options for word in ("--privileged", "--cap-add", "--volume", "--pid", "--ipc", "--publish"))


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("segfault", "it was ended by SIGSEGV; its last words: Fatal Python error: Segmentation fault .*unruly_source"),
        ("exit", "it ended with exit status 7"),
        ("hang", "the gateway ended it: it gave no sign of life"),
        ("garble", "the gateway ended it: what it says cannot be understood"),
    ],
)
async def test_a_container_that_fails_is_unavailable_and_starts_again(make: Make, docker: Docker, fault: str, says: str) -> None:
    """W-36, W-39, D-10: told in the words of a process; killed by name, for a dead client ends no container."""
    source = make(fault)
    await source.connect()
    (before,) = docker.containers().values()
    why = await fails(source)
    assert re.search(says, why, re.DOTALL), why
    assert f"container {NAME} of source odd" in why
    assert docker.containers() == {}
    assert docker.commands("kill") == ([["kill", NAME]] if "gateway ended it" in says else [])
    await source.close()
    await source.connect()
    assert docker.containers()[NAME]["id"] != before["id"]
    assert await reads(source, 1) == [1.0]
    status = source.status()
    assert status is not None
    assert status.restarts == 1


async def test_a_container_whose_client_was_killed_ends_by_itself(make: Make, docker: Docker) -> None:
    """W-36: as it does when its gateway is killed; its standard input ends."""
    source = make()
    await source.connect()
    os.kill(client_of(source), signal.SIGKILL)
    assert "its client, 'docker run', was ended by SIGKILL" in await fails(source)
    await removed(docker)
    assert docker.commands("kill") == []


async def test_a_hanging_container_whose_client_was_killed_ends_all_the_same(make: Make, docker: Docker, tmp_path: Path) -> None:
    """W-36: not only its event loop looks at standard input."""
    source = make("hang", marker=str(tmp_path / "marker"))
    await source.connect()
    (one,) = docker.containers().values()
    reading = asyncio.create_task(fails(source))
    await told(tmp_path / "marker", "hang")
    os.kill(client_of(source), signal.SIGKILL)
    assert "its client, 'docker run', was ended by SIGKILL" in await reading
    assert psutil.Process(one["pid"]).is_running()
    await removed(docker)


async def test_what_a_killed_gateway_left_is_removed(make: Make, docker: Docker, tmp_path: Path) -> None:
    """W-36: it would keep the name, and perhaps the device."""
    source = make("hang", marker=str(tmp_path / "marker"))
    await source.connect()
    (left,) = docker.containers().values()
    reading = asyncio.create_task(fails(source))
    await told(tmp_path / "marker", "hang")
    os.kill(client_of(source), signal.SIGKILL)
    await reading
    await source.connect()
    assert docker.commands("rm") == [["rm", "--force", "--volumes", left["id"]]]
    assert docker.containers()[NAME]["id"] != left["id"]
    assert await reads(source, 1) == [1.0]


async def test_a_container_of_somebody_else_is_left_alone(make: Make, docker: Docker, tmp_path: Path) -> None:
    """Another site on the same machine may have a gateway and a source of the same names."""
    source = make()
    await source.connect()
    other = IsolatedSource(source._config, SourceContext("gw1", tmp_path, times.now, str))
    with pytest.raises(SourceUnavailable, match=f"another container is called {NAME}, and it is not this gateway's"):
        await other.connect()
    await other.end()
    assert docker.commands("rm") == []
    assert await reads(source, 1) == [1.0]


async def test_an_engine_that_cannot_kill_does_not_hold_the_source(
    make: Make, docker: Docker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The client is given up; the container ends when it finds its standard input closed."""
    monkeypatch.setattr(container_module, "_KILL_SECONDS", 0.2)
    source = make("hang", marker=str(tmp_path / "marker"))
    await source.connect()
    reading = asyncio.create_task(fails(source))
    await told(tmp_path / "marker", "hang")
    docker.refuse(AWAY)
    assert "no sign of life" in await reading
    with pytest.raises(SourceUnavailable, match="docker does not answer"):
        await source.connect()
    await removed(docker)


@pytest.mark.parametrize(
    ("container", "says"),
    [
        ({"image": "example/absent:2.0"}, r"no image example/absent:2.0 .*'docker pull example/absent:2.0', or 'pull: missing'"),
        ({"image": "example/absent:2.0", "pull": "missing"}, "the image example/absent:2.0 cannot be fetched: mend its name"),
        ({"devices": ["/dev/ttyUSB97"]}, "no device /dev/ttyUSB97 on this machine: plug it in, or mend 'container.devices'"),
        ({"network": "plant"}, "docker has no network plant: 'docker network create plant', or mend 'container.network'"),
        ({"mounts": [{"from": "/absent", "to": "/a"}]}, "docker sees no /absent on its machine: make it, or mend 'container.mounts'"),
        ({"runtime": "podman"}, "no podman in PATH: install Podman or rootless Docker"),
    ],
)
async def test_what_the_engine_refuses_is_told_with_the_mend(make: Make, container: dict[str, Any], says: str) -> None:
    with pytest.raises(SourceUnavailable, match=says):
        await make(container=container).connect()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (AWAY, "docker does not answer: start it"),
        (DENIED, "may not talk to docker: use Podman .* or rootless Docker.* equals root on this machine"),
        ("something new", "'docker ps' failed with status 1: something new"),
    ],
)
async def test_an_engine_that_cannot_be_reached_is_told_with_the_mend(make: Make, docker: Docker, words: str, says: str) -> None:
    docker.refuse(words)
    with pytest.raises(SourceUnavailable, match=says):
        await make().connect()


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (f"Error: {IMAGE}: image not known", f"there is no image {IMAGE}"),
        ("Error: stat /dev/ttyUSB0: no such file or directory", "there is no device /dev/ttyUSB0"),
        ("Error: statfs /absent: no such file or directory", "podman sees no /absent"),
        ("Error: unable to find network with name or ID plant: network not found", "podman has no network plant"),
        ("Cannot connect to Podman. Please verify your connection to the Linux system", "podman does not answer"),
        ('OCI runtime create failed: exec: "python": executable file not found in $PATH: unknown', "has no Python with Trunkline"),
        ("/usr/local/bin/python: No module named trunkline", "has no Python with Trunkline"),
    ],
)
def test_podmans_words_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, says: str) -> None:
    """And those of an image that lacks something. Podman is not here: its words are those of public reports."""
    program = tmp_path / "podman"
    program.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 125\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    engine = find()
    assert engine.name == "podman"
    assert says in (engine.explain(said, IMAGE) or "")
    with pytest.raises(SourceUnavailable):
        engine.info()


@pytest.mark.parametrize(
    ("name", "printed", "expected"),
    [
        ("docker", "28.2.2 [name=seccomp,profile=builtin name=rootless name=cgroupns]", EngineInfo("28.2.2", rootless=True)),
        ("docker", "28.2.2 [name=seccomp,profile=builtin]", EngineInfo("28.2.2", rootless=False)),
        ("podman", "5.4.2 true", EngineInfo("5.4.2", rootless=True)),
    ],
)
def test_an_engine_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, printed: str, expected: EngineInfo) -> None:
    program = tmp_path / name
    program.write_text(f"#!/bin/sh\necho '{printed}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert find(name).info() == expected


async def test_secrets_come_over_standard_input_and_are_told_to_nobody(make: Make, docker: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    """W-167: in no command line, no environment, no file, not in what is told of the container; nor is what the gateway was given."""
    shown: list[str] = []
    monkeypatch.setattr(process_module.log, "warning", lambda event, **_: shown.append(event))
    monkeypatch.setenv("PLC_PASSWORD", "hunter3333")
    source = make("tell", password="${secret:x}")
    await source.connect()
    child = psutil.Process(docker.containers()[NAME]["pid"])
    assert "hunter" not in " ".join([*child.cmdline(), *child.environ().values(), *psutil.Process(client_of(source)).cmdline()])
    why = await fails(source)
    assert "exit status 9" in why
    assert "the password is ***" in why
    assert shown == ["the password is ***"]


async def test_what_a_plugin_prints_is_no_message(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output belongs to the messages: everybody else's goes to standard error, and into the log."""
    shown: list[str] = []
    monkeypatch.setattr(process_module.log, "warning", lambda event, **_: shown.append(event))
    source = make("flood", at="connect")
    await source.connect()
    assert len(await reads(source, 20)) == 20
    assert any(line.startswith("line ") for line in shown)


async def test_a_leak_ends_at_the_limit(make: Make) -> None:
    """W-57: the kernel ends it in its control group; the stand-in does that here."""
    source = make("leak", resources={"memory": "96M"})
    await source.connect()
    assert "it was ended by SIGKILL, as the kernel does when one wants more memory than 'resources.memory' allows" in await fails(source)


async def test_it_tells_what_it_uses(make: Make, docker: Docker) -> None:
    """W-57: the client's use of memory is not the container's."""
    source = make()
    await source.connect()
    async with asyncio.timeout(30):
        while (status := source.status()) is None or status.rss_bytes == 0 or status.cpu == 0:
            await asyncio.sleep(0.1)
    real = psutil.Process(docker.containers()[NAME]["pid"]).memory_info().rss
    assert abs(status.rss_bytes - real) < real / 2


async def test_an_engine_that_hangs_keeps_nobody_from_starting(make: Make, docker: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    """W-36: starts take turns, and asking the engine is not part of a turn."""
    monkeypatch.setattr("trunkline.gateway.isolation.engine.ANSWER_SECONDS", 3.0)
    docker.refuse("")
    one_at_a_time = asyncio.Semaphore(1)
    hanging = asyncio.create_task(make(starting=one_at_a_time).connect())
    async with asyncio.timeout(30):
        while not docker.commands("ps"):
            await asyncio.sleep(0.02)
    assert not one_at_a_time.locked()
    with pytest.raises(SourceUnavailable, match=r"docker ps: .* timed out after 3.0 seconds"):
        await hanging


async def test_an_image_of_another_version_says_so(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_module, "VERSION", 99)
    with pytest.raises(SourceUnavailable, match="the gateway speaks version 99 to its sources, this image 1: build it with the gateway's"):
        await make().connect()


async def test_a_container_that_fails_at_once_is_started_with_growing_pauses(make: Make) -> None:
    """D-10."""
    source = make("exit", after=0)
    pauses = []
    for _ in range(3):
        await source.connect()
        pauses.append(source._pause)
        await fails(source)
        await source.close()
    assert pauses == [0.0, 0.5, 1.0]


SITE = """
site: test
log: {partitions: 2}
gateways:
  - id: gw1
    sources:
      - {id: calm, type: simulated, interval_ms: 50, tags: [{path: P.A.CALM.T}]}
      - {id: odd, type: unruly, fault: %s, after: 10, isolate: container, container: {image: "%s"}, marker: %s, tags: [{path: P.A.ODD.T}]}
"""


@pytest.fixture
def start(docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Process]]:
    running: list[Process] = []
    unruly.install(tmp_path, monkeypatch)

    def gateway(fault: str) -> Process:
        file = tmp_path / "site.yaml"
        file.write_text(SITE % (fault or '""', IMAGE, tmp_path / "marker"))
        running.append(Process("gateway", str(file), "--id", "gw1"))
        return running[-1]

    yield gateway
    for process in running:
        if process.popen.poll() is None:
            process.popen.kill()
            process.popen.communicate()
    docker.end_all()


def acknowledged(tmp_path: Path) -> int:
    marker = tmp_path / "marker"
    return marker.read_text().count("ack") if marker.exists() else 0


def test_an_orderly_stop_ends_the_container(start: Callable[[str], Process], docker: Docker, tmp_path: Path) -> None:
    """W-36, W-40: SIGTERM, as a service manager sends it to the engine's client as well, which passes it on to the container."""
    process = start("")
    until(lambda: acknowledged(tmp_path) > 5)
    (client,) = psutil.Process(process.popen.pid).children()
    client.send_signal(signal.SIGTERM)
    count = acknowledged(tmp_path)
    until(lambda: acknowledged(tmp_path) > count + 20)
    code, output = process.end(signal.SIGTERM)
    assert code == 0
    assert docker.containers() == {}
    assert docker.commands("kill") == []
    assert "source is away" not in output


def test_a_killed_gateway_leaves_no_container(start: Callable[[str], Process], docker: Docker, tmp_path: Path) -> None:
    """W-36: what hangs is ended when the gateway comes back, or by itself; there is one container again."""
    process = start("hang")
    until(lambda: (tmp_path / "marker").exists() and "hang" in (tmp_path / "marker").read_text())
    (left,) = docker.containers().values()
    process.end(signal.SIGKILL)
    assert psutil.Process(left["pid"]).is_running()
    again = start("")
    until(lambda: (found := docker.containers()) and found[NAME]["id"] != left["id"])
    count = acknowledged(tmp_path)
    until(lambda: acknowledged(tmp_path) > count + 5)
    assert again.end(signal.SIGTERM)[0] == 0
    assert docker.containers() == {}


@pytest.mark.parametrize(
    ("euid", "engine", "user", "expected"),
    [
        (0, "docker", "", f"{USER[0]}:{USER[1]}"),
        (1234, "docker", "", "1234:1234"),
        (1234, "podman", "", "1234:1234"),
        (1234, "docker", "77", "77:77"),
    ],
)
def test_it_is_never_root_unless_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, euid: int, engine: str, user: str, expected: str
) -> None:
    """D-7: the gateway's own user, or nobody in particular where that is root, who then owns the source's folder."""
    owners: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: euid)
    monkeypatch.setattr(os, "getegid", lambda: euid)
    monkeypatch.setattr(os, "chown", lambda _path, *owner: owners.append(owner))
    runner = ContainerRunner("odd", Container(image=IMAGE, user=user, devices=("/dev/null",)), Resources(), "gw1", tmp_path)
    who = runner._user()
    words = runner.words(engine, who)
    assert words_of(words, "--user") == [expected]
    assert owners == ([USER] if euid == 0 else [])
    assert words_of(words, "--userns") == (["keep-id"] if engine == "podman" else [])
    assert "--memory" not in words
    assert "--cpus" not in words


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"isolate": "container"}, "needs an image: add 'container: {image: ...}'"),
        ({"container": {"image": IMAGE}}, "add 'isolate: container'"),
        ({"isolate": "container", "container": {"image": "--privileged"}}, "image"),
        ({"isolate": "container", "container": {"image": IMAGE, "devices": ["/etc/passwd"]}}, "devices"),
        ({"isolate": "container", "container": {"image": IMAGE, "network": "container:other"}}, "network"),
        ({"isolate": "container", "container": {"image": IMAGE, "user": "root"}}, "user"),
        ({"isolate": "container", "container": {"image": IMAGE, "runtime": "lxc"}}, "runtime"),
        ({"isolate": "container", "container": {"image": IMAGE, "privileged": True}}, "privileged"),
        *(
            ({"isolate": "container", "container": {"image": IMAGE, "mounts": [{"from": path, "to": "/x"}]}}, "is root on this machine")
            for path in ("/", "/var/run", "/run/docker.sock", "/var/lib/../run/", "/run/podman")
        ),
    ],
)
def test_wrong_sections_are_refused_without_asking_an_engine(given: dict[str, Any], says: str) -> None:
    """D-7: `trunkline check` needs no engine; the engine's own socket is never handed in."""
    with pytest.raises(ValidationError, match=says):
        SourceConfig.model_validate({"id": "a", "type": "simulated", **given})
