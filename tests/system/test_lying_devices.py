"""Devices that lie, over a real broker, on a running site: every message ends stored, as a dead letter, or in a counter."""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from tests.cli.support import trunkline
from tests.system.support import RunningSite, until

from trunkline.historian.readings import Raw
from trunkline.lab.ports import free_ports
from trunkline.model import times
from trunkline.model.quality import Quality
from trunkline.sources.mqtt.tests.broker import Broker, Device
from trunkline.supervisor.wiring import account, conninfo, embedded_server, historian_reader

SITE = """\
site: test
log: {{partitions: 2}}
api: {{port: {api}}}
validation: {{max_text_bytes: 1000}}
gateways:
  - id: gw1
    admin_port: {admin}
    sources:
      - id: broker
        type: mqtt
        host: 127.0.0.1
        port: {broker}
        stale_after: 86400
        lost_after: 172800
        max_text_bytes: 2000000
        tags:
          - {{path: P.A.U1.FLOW, topic: flow, value: $.v, timestamp: $.t, max: 100}}
          - {{path: P.A.U1.COUNT, kind: integer, topic: count, time: gateway}}
          - {{path: P.A.U1.LEVEL, topic: level, time: gateway}}
          - {{path: P.A.U1.NAME, kind: text, topic: name, time: gateway}}
          - {{path: P.A.U1.SHORE, topic: shore/+, value: $.v, time: gateway}}
"""
FLOW, COUNT, LEVEL, NAME = "P.A.U1.FLOW", "P.A.U1.COUNT", "P.A.U1.LEVEL", "P.A.U1.NAME"


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Iterator[RunningSite]:
    api, admin = free_ports(2)
    file = tmp_path_factory.mktemp("site") / "site.yaml"
    file.write_text(SITE.format(api=api, admin=admin, broker=broker.port))
    with RunningSite(file).start() as running:
        running.wait_until_stored()  # SOURCE_UP: the source has subscribed
        yield running


@pytest.fixture(scope="module")
def device(broker: Broker) -> Iterator[Device]:
    with Device(broker.port) as one:
        yield one


def history(site: RunningSite, tag: str) -> Raw:
    with historian_reader(site.site) as reader:
        return reader.raw(tag, times.EARLIEST, times.now() + times.DAY * 400, 100_000)


def stored(site: RunningSite, tag: str) -> list[tuple[Any, Quality | int]]:
    raw = history(site, tag)
    return list(zip(raw.values(), raw.quality.tolist(), strict=True))


def levels(site: RunningSite, least: int) -> list[float]:
    return [value for value, _ in stored(site, LEVEL) if value is not None and value >= least]


def letters(site: RunningSite, *options: str) -> list[dict[str, Any]]:
    said = trunkline("deadletter", "list", site.file, "--json", *options)
    assert said.code == 0, said.text
    *found, summary = said.documents
    assert summary["total"] == len(found)
    return found


def read(site: RunningSite) -> int:
    return account(site.site, recount=False).totals["read"]


def send_and_settle(site: RunningSite, device: Device, *messages: tuple[str, bytes | str]) -> None:
    """Publish, and return when each message made a reading that was dealt with."""
    before = read(site)
    device.send(*messages)
    until(lambda: read(site) >= before + len(messages), f"{len(messages)} messages are read")
    site.settle()


def flow(value: object, moment: int | None = None) -> tuple[str, str]:
    return "flow", json.dumps({"v": value, "t": times.to_iso(times.now() if moment is None else moment)})


def test_values_that_are_no_measurements(site: RunningSite, device: Device) -> None:
    """W-121, W-126: NaN, infinities, wrong types and garbage are BAD, with the reason, never a number and never lost."""
    send_and_settle(site, device, ("level", "1.5"))
    lies: list[tuple[str, bytes | str]] = [
        ("level", "nan"),
        ("level", "inf"),
        ("level", "-Infinity"),
        ("level", "1e999"),
        ("level", "fast"),
        ("level", b"\xff\xfe\x00"),
        ("level", ""),
        ("count", "3.5"),
        ("count", "99999999999999999999"),
        ("count", "true"),
        ("flow", '{"v": NaN, "t": "2026-01-01T00:00:00Z"}'),
        ("flow", '{"v": 1'),
        ("flow", '{"w": 1}'),
        flow("fast"),
        flow({"deep": 1}),
        ("flow", "[" * 5000),
        ("flow", b"\x00" * 1_000_000),
    ]
    send_and_settle(site, device, *lies)
    level = stored(site, LEVEL)
    assert level[0] == (1.5, Quality.GOOD)
    bad = Counter(Quality(quality).name for tag in (LEVEL, COUNT, FLOW) for value, quality in stored(site, tag) if value is None)
    assert set(bad) <= {"BAD_DECODING", "BAD_NOT_FINITE", "BAD_TYPE"}
    assert bad.total() == len(lies)
    assert letters(site) == []
    assert all(value is None for value, quality in [*level[1:], *stored(site, COUNT)])


def test_times_that_cannot_be(site: RunningSite, device: Device) -> None:
    """W-124, W-125: 1970 and 2200 are refused with the reason and their value; an hour ahead is doubted, not lost."""
    before = len(letters(site))
    send_and_settle(
        site,
        device,
        flow(1.0, 0),
        flow(2.0, times.from_iso("2200-01-01T00:00:00Z")),
        flow(3.0, times.now() + times.HOUR),
        ("flow", '{"v": 4.0, "t": "yesterday"}'),
        ("flow", '{"v": 5.0}'),
    )
    found = letters(site)[before:]
    assert [letter["value"] for letter in found] == [1.0, 2.0]
    assert "before the year 2000" in found[0]["reason"]
    assert "more than a day ahead" in found[1]["reason"]
    qualities = {value: Quality(quality).name for value, quality in stored(site, FLOW) if value in {3.0, 4.0, 5.0}}
    assert qualities[3.0] == "UNCERTAIN_CLOCK_SKEW"
    assert len(qualities) == 3
    assert all(name.startswith(("UNCERTAIN", "BAD")) for name in qualities.values())


def test_texts_that_are_too_long(site: RunningSite, device: Device) -> None:
    """A text of 1 MB and one with a NUL stop nothing and do not vanish."""
    before = len(letters(site)), len(stored(site, FLOW))
    send_and_settle(
        site, device, ("name", "x" * 1_000_000), ("name", "y" * 2000), ("name", "a\x00b"), ("name", "[/bold] \x1b[31mMODE"), flow(7.0)
    )
    names = stored(site, NAME)
    assert ("[/bold] \x1b[31mMODE", Quality.GOOD) in names
    found = letters(site)[before[0] :]
    assert len(names) + len(found) == 4
    reasons = " ".join(letter["reason"] for letter in found)
    assert "2,000 bytes, at most 1,000 are allowed" in reasons
    assert "contains a NUL character" in reasons
    assert len(stored(site, FLOW)) == before[1] + 1
    shown = trunkline("read", site.file, NAME)
    assert shown.code == 0
    assert "\x1b" not in shown.text
    assert "[/bold]" in shown.text


def test_topics_that_nobody_configured(site: RunningSite, device: Device) -> None:
    """What was not asked for is not read; the rest goes on."""
    before = read(site)
    device.send(("unknown/tag", "1"), ("flows", "2"), ("shore/a/b", "3"))
    send_and_settle(site, device, ("shore/a", '{"v": 5}'), ("shore/b", '{"v": 6}'))
    assert read(site) == before + 2


def test_dead_letters_make_the_round_trip(site: RunningSite, device: Device) -> None:
    """P-122, PD-22, W-67: refused with reason and original; after the mend sent again and stored once, however often it is sent."""
    before = {letter["place"] for letter in letters(site)}
    send_and_settle(site, device, flow(150.0), flow(50.0))
    (letter,) = [one for one in letters(site, "--tag", FLOW) if one["place"] not in before]
    assert (letter["source"], letter["tag"], letter["value"]) == ("broker", FLOW, 150.0)
    assert letter["reason"].startswith("range: ")
    place = letter["place"]
    (shown,) = trunkline("deadletter", "show", site.file, place, "--json").documents
    assert shown["original_bytes"] * 2 == len(shown["original_hex"]) > 0
    assert 150.0 not in [value for value, _ in stored(site, FLOW)]

    site.file.write_text(site.file.read_text().replace("max: 100", "max: 200"))
    site.restart_role("worker")
    for _ in range(2):
        said = trunkline("deadletter", "replay", site.file, place, "--json")
        assert (said.code, said.documents) == (0, [{"sent": 1, "refused": 0, "passed": True}])
        until(lambda: [value for value, _ in stored(site, FLOW)].count(150.0) == 1, "the letter is stored")
        assert site.settle().balanced
        assert [value for value, _ in stored(site, FLOW)].count(150.0) == 1
    (again,) = [one for one in letters(site, "--tag", FLOW) if one["place"] not in before]
    assert again["place"] == place
    ledger = trunkline("ledger", site.file, "--json", "--settle", "20")
    assert ledger.code == 0, ledger.text
    summary = ledger.documents[-1]
    assert (summary["balanced"], summary["missing"], summary["surplus"], summary["problems"]) == (True, 0, 0, [])


def test_postgresql_is_killed(site: RunningSite, device: Device) -> None:
    """P-118: what comes meanwhile waits in the log; nothing is lost or doubled."""
    pid = embedded_server(site.site).pid()
    assert pid is not None
    device.send(*(("level", str(number)) for number in range(1000, 1100)))
    os.kill(pid, signal.SIGKILL)
    device.send(*(("level", str(number)) for number in range(1100, 1200)))
    until(lambda: embedded_server(site.site).pid() not in {None, pid}, "PostgreSQL runs again")
    until(
        lambda: [value for value, _ in stored(site, LEVEL) if value and value >= 1000] == [float(n) for n in range(1000, 1200)],
        "all is stored",
    )
    assert site.settle().balanced


def test_postgresql_has_no_free_connection(site: RunningSite, device: Device) -> None:
    """The historian waits, status says why, and what came meanwhile is stored once there is room."""
    held: list[psycopg.Connection[Any]] = []
    try:

        def exhausted() -> bool:
            try:
                held.append(psycopg.connect(conninfo(site.site)))
            except psycopg.OperationalError as error:
                return "too many clients" in str(error)
            return False

        until(exhausted, "no connection is left")
        site.restart_role("historian", signal.SIGKILL)
        until(exhausted, "no connection is left")
        device.send(*(("level", str(number)) for number in range(2000, 2100)))
        until(lambda: trunkline("status", site.file, "--json").documents[-1]["history"], "status tells")
        told = trunkline("status", site.file)
        assert told.code == 1
        assert "away: history: PostgreSQL:" in told.text
        assert "too many clients" in told.text
        refused = trunkline("ledger", site.file)
        assert refused.code == 3
        assert "too many clients" in refused.text
    finally:
        for one in held:
            one.close()
    until(
        lambda: [value for value, _ in stored(site, LEVEL) if value and value >= 2000] == [float(n) for n in range(2000, 2100)],
        "all is stored",
    )
    assert site.settle().balanced
