"""What the supervisor tells others of its roles, and who may supervise."""

import threading
from pathlib import Path

import pytest

from trunkline.config.loading import load
from trunkline.model.errors import Misconfigured
from trunkline.supervisor.status import FILE, RoleStatus, SupervisorStatus, read_status, write_status
from trunkline.supervisor.supervisor import Supervisor, role_commands

SITE = """\
site: test
historian: {dsn: "host=127.0.0.1 port=1 user=nobody"}
gateways: [{id: gw1}, {id: gw2}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(SITE)
    return path


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    """The file is replaced in one step, however often it is written."""
    roles = [RoleStatus(f"gateway:gw{number}", 1000 + number, "running", 1, 0, 1 << 20) for number in range(200)]
    done = threading.Event()

    def write() -> None:
        for number in range(300):
            write_status(tmp_path, SupervisorStatus(1, number, roles[: 1 + number % 200]))
        done.set()

    assert read_status(tmp_path) is None
    writer = threading.Thread(target=write)
    writer.start()
    seen = -1
    while not done.is_set():
        status = read_status(tmp_path)
        if status is not None:
            assert status.at_us >= seen
            assert len(status.roles) == 1 + status.at_us % 200
            seen = status.at_us
    writer.join()
    assert {path.name for path in tmp_path.iterdir()} == {FILE}


@pytest.mark.parametrize("content", [b"", b"{", b'{"pid": "x"}', b"\xff"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(Misconfigured, match=r"supervisor\.json cannot be read: .*: remove it"):
        read_status(tmp_path)


def test_roles_follow_the_site_file(file: Path) -> None:
    commands = role_commands(load(file))
    assert list(commands) == ["historian", "worker", "api", "gateway:gw1", "gateway:gw2"]
    assert commands["gateway:gw2"][-5:] == ["run", "gateway", str(file), "--id", "gw2"]
    file.write_text(SITE.replace("historian", "# ") + "lab: {}\n")
    assert list(role_commands(load(file))) == ["database", "historian", "worker", "api", "gateway:gw1", "gateway:gw2", "lab"]


def test_an_edge_of_its_own_kafka_reads_devices_only(file: Path) -> None:
    """W-181: history is made at the centre."""
    central = "central: {bootstrap: 127.0.0.1:9192, insecure: true}"
    log = f"log: {{engine: kafka, bootstrap: 127.0.0.1:9092, profile: development, insecure: true, edge: {{{central}}}}}\n"
    file.write_text(SITE + log)
    assert list(role_commands(load(file))) == ["gateway:gw1", "gateway:gw2"]


def test_members_are_processes_of_their_own(file: Path) -> None:
    """P-115, P-113: each has a name that survives restarts; the first is called as when it is alone."""
    file.write_text(SITE.replace('nobody"}', 'nobody", members: 3}') + "validation: {members: 2}\n")
    commands = role_commands(load(file))
    historians = ["historian", "historian:historian-1", "historian:historian-2"]
    assert list(commands) == [*historians, "worker", "worker:worker-1", "api", "gateway:gw1", "gateway:gw2"]
    assert commands["historian"][-4:] == ["historian", str(file), "--member", "historian-0"]
    assert commands["historian:historian-2"][-4:] == ["historian", str(file), "--member", "historian-2"]
    assert commands["worker:worker-1"][-4:] == ["worker", str(file), "--member", "worker-1"]


def test_a_data_directory_has_one_supervisor(file: Path) -> None:
    first = Supervisor(load(file))
    with pytest.raises(Misconfigured, match="is in use by another 'trunkline up': stop it first, or use another data_dir"):
        Supervisor(load(file))
    first.close()
    Supervisor(load(file)).close()


def test_a_data_directory_keeps_its_settings(file: Path) -> None:
    """PD-18: partitions, layout and the site's name are fixed once data is there."""
    Supervisor(load(file)).close()
    file.write_text(SITE + "log: {partitions: 7}\n")
    with pytest.raises(Misconfigured, match=r"partitions=7.*run 'trunkline check'"):
        Supervisor(load(file))
