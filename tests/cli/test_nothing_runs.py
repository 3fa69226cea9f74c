"""Commands of a site that was never started, or stopped: they say so, and what to do."""

import socket
from pathlib import Path

import pytest
from tests.cli.support import trunkline

from trunkline import __version__
from trunkline.cli.output import plain
from trunkline.security.users import ensure_administrator

SITE = """\
site: test
gateways:
  - id: gw1
    sources:
      - id: sim
        type: simulated
        interval_ms: 50
        tags:
          - {path: P.A.U1.SINE, unit: bar}
          - {path: P.A.U2.COUNT, kind: integer, signal: {shape: counter}}
      - id: broker
        type: mqtt
        host: 127.0.0.1
        port: %d
        timeout: 2
        tags: [{path: P.A.U3.FLOW, topic: flow}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path.write_text(SITE % port)
    return path


def test_version() -> None:
    assert __version__ in trunkline("version").text


def test_status(file: Path) -> None:
    people = trunkline("status", file)
    assert people.code == 1
    assert "away: supervisor" in people.text
    machines = trunkline("status", file, "--json")
    assert machines.code == 1
    assert machines.documents == [
        {"roles": [], "behind": {"validate": 0, "historian": 0}, "history": None, "away": ["supervisor", "gw1: no report"], "passed": False}
    ]


@pytest.mark.parametrize("arguments", [["ledger"], ["read", "P.A.U1.SINE"]])
def test_what_needs_the_database_says_how_to_start_it(file: Path, arguments: list[str]) -> None:
    command, *rest = arguments
    said = trunkline(command, file, *rest)
    assert (said.code, said.out) == (3, "")
    assert f"is 'trunkline up {file}' running?" in said.text


@pytest.mark.parametrize(
    ("start", "says"),
    [("yesterday", "'yesterday' is no time"), ("2026-01-31T12:00:00", "is no time"), ("5x", "use 2026-01-31T12:00:00Z, 'now', or a span")],
)
def test_read_explains_times(file: Path, start: str, says: str) -> None:
    said = trunkline("read", file, "P.A.U1.SINE", "--from", start)
    assert said.code == 2
    assert says in said.text


def test_outbox_is_empty(file: Path) -> None:
    said = trunkline("outbox", "list", file, "--json")
    assert said.code == 0
    (summary,) = said.documents
    assert (summary["gateway"], summary["pendingCount"], summary["failedCount"]) == ("gw1", 0, 0)
    assert summary["ladder_s"] == sorted(summary["ladder_s"])
    assert "0 records pending, 0 failed" in trunkline("outbox", "list", file).text


def test_dead_letters(file: Path) -> None:
    """W-67."""
    assert "no dead letters" in trunkline("deadletter", "list", file).text
    assert trunkline("deadletter", "list", file, "--json").documents == [{"total": 0, "shown": 0}]
    for command in ("show", "replay"):
        nowhere = trunkline("deadletter", command, file, "nowhere")
        assert nowhere.code == 2
        assert "use topic/partition@offset" in nowhere.text
        wrong = trunkline("deadletter", command, file, "telemetry.raw/0@1")
        assert wrong.code == 2
        assert "'telemetry.raw' is no dead-letter topic" in wrong.text
    assert "say which: a place, --reason, --tag or --all" in trunkline("deadletter", "replay", file).text
    nothing = trunkline("deadletter", "replay", file, "--all", "--json")
    assert nothing.code == 0
    assert nothing.documents == [{"sent": 0, "refused": 0, "passed": True}]


def test_reset_password(file: Path) -> None:
    """The new password is shown once, to people, never to a pipe."""
    unknown = trunkline("users", "reset-password", file, "nobody")
    assert unknown.code == 2
    assert "nobody" in unknown.text
    first = ensure_administrator(file.parent / "data")
    said = trunkline("users", "reset-password", file)
    assert (said.code, said.out) == (0, "")
    fresh = said.text.rpartition(" ")[2]
    assert said.text.startswith("new password of admin:")
    assert len(fresh) >= 16
    assert fresh != first


def test_a_damaged_store_of_users_is_a_sentence(file: Path) -> None:
    ensure_administrator(file.parent / "data")
    for store in (file.parent / "data" / "security").glob("*.db*"):
        store.write_bytes(b"no database" * 1000)
    said = trunkline("users", "reset-password", file)
    assert said.code == 2
    assert "is damaged" in said.text


def test_doctor(file: Path) -> None:
    said = trunkline("doctor", file, "--json")
    *findings, summary = said.documents
    assert said.code == (0 if summary["passed"] else 1)
    assert all(set(one) == {"check", "verdict", "detail", "mend"} for one in findings)
    assert "port 8400" in {one["check"] for one in findings}
    assert "python" in trunkline("doctor").text


def test_probe_shows_what_a_source_says(file: Path) -> None:
    said = trunkline("probe", file, "sim", "--seconds", "1", "--json")
    *rows, summary = said.documents
    assert said.code == 0
    assert summary == {"source": "sim", "seen": 2, "silent": [], "passed": True}
    assert {row["tag"]: row["quality"] for row in rows} == {"P.A.U1.SINE": "GOOD", "P.A.U2.COUNT": "GOOD"}
    assert "P.A.U1.SINE" in trunkline("probe", file, "gw1/sim", "--seconds", "1").text
    assert not (file.parent / "data").exists()


def test_probe_of_a_device_that_is_away(file: Path) -> None:
    said = trunkline("probe", file, "broker", "--seconds", "1")
    assert (said.code, said.out) == (1, "")
    assert "broker: MQTT broker 127.0.0.1:" in said.text
    assert "cannot be reached" in said.text
    unknown = trunkline("probe", file, "borker")
    assert unknown.code == 1
    assert "no source of that name; there are: gw1/sim, gw1/broker" in unknown.text
    assert "cannot be browsed" in trunkline("probe", file, "sim", "--browse", "").text


@pytest.mark.parametrize("arguments", [["lab", "fault", "unplug", "modbus", "--site"], ["lab", "fault", "list", "--site"]])
def test_faults_need_a_plant(file: Path, arguments: list[str]) -> None:
    said = trunkline(*arguments, file)
    assert said.code == 1
    assert "error: " in said.text


@pytest.mark.parametrize(
    ("role", "says"),
    [
        (["gateway", "--id", "gw2"], "has no gateway 'gw2'; did you mean 'gw1'?"),
        (["gateway", "--id", "../gw1"], "has no gateway '../gw1'"),
        (["lab"], "has no 'lab:' section"),
    ],
)
def test_a_role_that_the_site_does_not_have(file: Path, role: list[str], says: str) -> None:
    name, *rest = role
    said = trunkline("run", name, file, *rest)
    assert said.code == 2
    assert says in said.text


def test_device_text_drives_neither_markup_nor_terminal() -> None:
    assert plain("[/bold] \x1b[2J\x07 ü") == "\\[/bold] \\x1b[2J\\x07 ü"
