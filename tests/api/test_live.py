"""Live values over a real WebSocket, from the site log to the client."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest
from tests.api import known
from tests.api.known import COUNTER, FLOW, MODE, RUNNING, TAGS
from tests.api.support import Plant, wait_for
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from trunkline.api.live import socket
from trunkline.api.services import COOKIE
from trunkline.log.codec.forms import Forms
from trunkline.log.layouts.spec import Form
from trunkline.log.port import Record
from trunkline.model import times
from trunkline.model.quality import Quality
from trunkline.model.reading import Category, Reading
from trunkline.security.roles import Role

Frame = dict[str, Any]


def address(plant: Plant) -> str:
    return f"{plant.url.replace('http', 'ws')}/api/v1/live"


@contextmanager
def live(plant: Plant, *asks: Frame) -> Iterator[Connection]:
    """Connect with the API token and ask."""
    with connect(address(plant), max_size=None) as client:
        for ask in ({"op": "auth", "token": plant.token}, *asks):
            client.send(json.dumps(ask))
        yield client


def frames(client: Connection, enough: Callable[[list[Frame]], bool], seconds: float = 30.0) -> list[Frame]:
    """Receive until there is enough."""
    found: list[Frame] = []
    end = time.monotonic() + seconds
    while not enough(found):
        found.append(json.loads(client.recv(timeout=max(0.01, end - time.monotonic()))))
    return found


def kinds(found: list[Frame]) -> list[str]:
    return [frame["type"] for frame in found]


def values(found: list[Frame]) -> dict[str, list[Any]]:
    return {row[0]: row for frame in found if frame["type"] == "values" for row in frame["values"]}


def closing(client: Connection) -> tuple[int, str]:
    """Read to the end and return code and reason."""
    with suppress(ConnectionClosed):
        while True:
            client.recv(timeout=30)
    return client.close_code or 0, client.close_reason or ""


def now_reading(tag: str, value: float | bool | str | None, quality: int = Quality.GOOD) -> Reading:
    time_us = times.now()
    return Reading(tag, value, quality, time_us, time_us)


def test_a_snapshot_comes_first(plant: Plant) -> None:
    with live(plant, {"op": "subscribe", "tags": [FLOW, COUNTER, "NO.SUCH"]}) as client:
        rows = values(frames(client, lambda found: len(values(found)) == 2))
    assert rows[FLOW] == [FLOW, 599.0, 0, known.START + 599 * times.SECOND, known.START + 599 * times.SECOND + 1000]
    assert rows[COUNTER][1] == str(known.BIG)


def test_a_branch_is_a_subscription(plant: Plant) -> None:
    with live(plant, {"op": "under", "path": "PLANT01.AREA02"}) as client:
        rows = values(frames(client, lambda found: len(values(found)) == 3))
    assert sorted(rows) == [tag for tag in TAGS if tag != MODE]


def test_new_readings_arrive(fresh: Plant) -> None:
    """From the log to the client; tags that appear later join a branch."""
    with live(fresh, {"op": "under", "path": ""}, {"op": "subscribe", "tags": [MODE], "every_ms": 50}) as client:
        wait_for(lambda: fresh.services.hub.clients, "the client joined")
        fresh.feeder.feed([now_reading(FLOW, 1.5), now_reading(MODE, "auto"), now_reading(RUNNING, None, Quality.BAD_TIMEOUT)])
        rows = values(frames(client, lambda found: len(values(found)) == 3))
        assert (rows[FLOW][1:3], rows[MODE][1:3], rows[RUNNING][1:3]) == ([1.5, 0], ["auto", 0], [None, Quality.BAD_TIMEOUT])
        fresh.feeder.feed([now_reading(FLOW, 2.5)])
        rows = values(frames(client, lambda found: FLOW in values(found)))
        assert rows == {FLOW: rows[FLOW]}
        assert rows[FLOW][1] == 2.5
        client.send(json.dumps({"op": "unsubscribe", "path": "PLANT01.AREA02"}))
        wait_for(lambda: all(FLOW not in one.tags for one in fresh.services.hub.clients), "the subscription ended")
        fresh.feeder.feed([now_reading(FLOW, 3.5), now_reading(MODE, "hand")])
        rows = values(frames(client, lambda found: MODE in values(found)))
        assert FLOW not in rows


@pytest.mark.parametrize("form", ["single", "json"])
def test_readings_of_every_form_arrive(fresh: Plant, form: Form) -> None:
    """P-8: a site may write its readings one by one; blocks may lie among them."""
    fresh.feeder.forms = Forms(form)
    with live(fresh, {"op": "under", "path": ""}) as client:
        wait_for(lambda: fresh.services.hub.clients, "the client joined")
        fresh.feeder.feed(
            [now_reading(FLOW, 1.5), now_reading(MODE, "auto"), now_reading(COUNTER, known.BIG), now_reading(RUNNING, value=True)]
        )
        rows = values(frames(client, lambda found: len(values(found)) == 4))
        assert {tag: row[1] for tag, row in rows.items()} == {FLOW: 1.5, MODE: "auto", COUNTER: str(known.BIG), RUNNING: True}
        fresh.feeder.forms = Forms()
        fresh.feeder.feed([now_reading(FLOW, None, Quality.BAD_TIMEOUT)])
        rows = values(frames(client, lambda found: FLOW in values(found)))
        assert rows[FLOW][1:3] == [None, Quality.BAD_TIMEOUT]


def test_late_readings_do_not_turn_the_clock_back(fresh: Plant) -> None:
    """A backlog that arrives after live data is history, not news."""
    with live(fresh, {"op": "under", "path": ""}) as client:
        wait_for(lambda: fresh.services.hub.clients, "the client joined")
        fresh.feeder.feed([now_reading(FLOW, 2.0)])
        frames(client, lambda found: FLOW in values(found))
        old = times.now() - times.HOUR
        fresh.feeder.feed([Reading(FLOW, 1.0, 0, old, old), now_reading(COUNTER, 7)])
        rows = values(frames(client, lambda found: COUNTER in values(found)))
        assert FLOW not in rows
    with fresh.client() as http:
        assert http.get("/latest", params={"tag": FLOW}).json()["values"][0]["v"] == 2.0


def test_qualities_are_counted_from_the_worst(fresh: Plant) -> None:
    qualities = {FLOW: Quality.BAD_TIMEOUT, COUNTER: Quality.GOOD, MODE: Quality.UNCERTAIN_STALE, RUNNING: Quality.UNCERTAIN_STALE}
    fresh.feeder.feed([now_reading(tag, 1.0 if tag == FLOW else None, quality) for tag, quality in qualities.items()])
    wait_for(lambda: len(fresh.services.hub.cache) == len(qualities), "live values arrive")
    with fresh.client() as http:
        found = http.get("/quality").json()
    assert [(one["quality"], one["severity"], one["tags"]) for one in found["counts"]] == [
        ("BAD_TIMEOUT", "bad", 1), ("UNCERTAIN_STALE", "uncertain", 2), ("GOOD", "good", 1),
    ]  # fmt: skip
    assert found["tags"] == 4


def test_a_damaged_record_is_passed_over(fresh: Plant) -> None:
    """Whatever lies in the log, live values go on."""
    topic = fresh.services.layout.topic(Category.TELEMETRY, "clean")
    fresh.services.log.append(topic, [Record(b"not a block", partition=0), Record(b"", partition=1)])
    fresh.feeder.feed([now_reading(FLOW, 4.0), now_reading(MODE, "auto")])
    wait_for(lambda: FLOW in fresh.services.hub.cache and MODE in fresh.services.hub.cache, "the good ones arrive")
    assert b"trunkline_api_live_damaged_records_total 2.0" in fresh.services.metrics.text()


def test_status_and_ledger_are_told(plant: Plant) -> None:
    with live(plant) as client:
        found = frames(client, lambda found: {"status", "ledger"} <= set(kinds(found)))
    status = next(frame for frame in found if frame["type"] == "status")
    assert status["gateways"][0]["gateway"] == known.GATEWAY
    ledger = next(frame for frame in found if frame["type"] == "ledger")
    assert ledger["balanced"] is True
    assert ledger["proof"].startswith("read ")
    assert ledger["totals"]["missing"] == 0
    assert "rows" not in ledger


def test_gibberish_is_answered_and_survived(plant: Plant) -> None:
    with live(plant) as client:
        for text in ("", "{", "[]", '{"op":"fly"}', '{"op":"subscribe","tags":[1]}', '{"op":"subscribe","every_ms":1}', '{"op":"auth"}'):
            client.send(text)
        client.send(b"\xff\xfe")
        found = frames(client, lambda found: "error" in kinds(found))
        assert {frame["code"] for frame in found if frame["type"] == "error"} <= {"BAD_MESSAGE", "ALREADY_SIGNED_IN"}
        client.send(json.dumps({"op": "subscribe", "tags": [FLOW]}))
        assert FLOW in values(frames(client, lambda found: FLOW in values(found)))


def test_one_connection_has_so_many_tags(plant: Plant) -> None:
    with live(plant, {"op": "subscribe", "tags": [f"A.T{number}" for number in range(50_001)]}) as client:
        found = frames(client, lambda found: "error" in kinds(found))
    assert found[-1]["code"] == "TOO_MANY_TAGS" or any(frame.get("code") == "TOO_MANY_TAGS" for frame in found)


def test_strangers_are_told_to_log_in(plant: Plant) -> None:
    """4401 after the connection is open: only then can a browser tell it from a server that is down."""
    for first in ('{"op":"subscribe","tags":["A"]}', '{"op":"auth","token":"made-up"}', "gibberish"):
        with connect(address(plant)) as client:
            client.send(first)
            assert closing(client)[0] == socket.UNAUTHENTICATED
    with connect(address(plant), additional_headers={"Cookie": f"{COOKIE}=made-up"}) as client:
        assert closing(client)[0] == socket.UNAUTHENTICATED


def test_a_token_in_the_address_is_worth_nothing(plant: Plant) -> None:
    """Addresses end up in logs (GD-5)."""
    with connect(f"{address(plant)}?token={plant.token}") as client:
        client.send('{"op":"subscribe","tags":[]}')
        assert closing(client)[0] == socket.UNAUTHENTICATED


def session_of(plant: Plant) -> str:
    with httpx.Client(base_url=plant.url) as client:
        client.post("/api/v1/session", json={"username": "admin", "password": plant.password}).raise_for_status()
        return client.cookies[COOKIE]


def test_the_page_comes_with_its_cookie(plant: Plant) -> None:
    headers = {"Cookie": f"{COOKIE}={session_of(plant)}"}
    with connect(address(plant), additional_headers=headers, origin=plant.url) as client:  # type: ignore[arg-type]  # a plain str will do
        client.send(json.dumps({"op": "subscribe", "tags": [FLOW]}))
        assert FLOW in values(frames(client, lambda found: FLOW in values(found)))


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}])
def test_foreign_pages_are_refused(plant: Plant, headers: dict[str, str]) -> None:
    """A page of another site would come with the user's cookie."""
    raw = httpx.get(
        f"{plant.url}/api/v1/live",
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Cookie": f"{COOKIE}=x",
            **headers,
        },
    )
    assert raw.status_code == 403
    if "Origin" in headers:
        with pytest.raises(InvalidStatus), connect(address(plant), origin=headers["Origin"]):  # type: ignore[arg-type]  # a plain str will do
            pass


def test_an_ended_session_ends_the_connection(fresh: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """GD-3: revocation reaches open connections."""
    monkeypatch.setattr(socket, "RECHECK_SECONDS", 0.1)
    token = fresh.services.door.create_token("short", Role.VIEWER)
    with connect(address(fresh)) as client:
        client.send(json.dumps({"op": "auth", "token": token}))
        wait_for(lambda: fresh.services.hub.clients, "the client joined")
        fresh.services.door.revoke_token("short")
        assert closing(client)[0] == socket.UNAUTHENTICATED
    wait_for(lambda: not fresh.services.hub.clients, "the client is forgotten")


def test_a_slow_client_gets_the_newest_and_holds_nobody_up(fresh: Plant) -> None:
    """GD-5: what a client has not taken is conflated to the newest per tag; others go on at full pace."""
    tags = [f"PLANT01.AREA01.UNIT_{number:03}.FLOW" for number in range(500)]
    with connect(address(fresh), max_queue=1) as slow, live(fresh, {"op": "under", "path": "", "every_ms": 50}) as quick:
        slow.send(json.dumps({"op": "auth", "token": fresh.token}))
        slow.send(json.dumps({"op": "under", "path": "", "every_ms": 50}))
        wait_for(lambda: len(fresh.services.hub.clients) == 2, "both joined")
        rounds = 60
        for number in range(rounds):
            fresh.feeder.feed([now_reading(tag, float(number)) for tag in tags])
        last = float(rounds - 1)

        def complete(found: list[Frame]) -> bool:
            rows = values(found)
            return len(rows) == len(tags) and all(row[1] == last for row in rows.values())

        frames(quick, complete)
        # the slow one reads only now: it ends with the newest of every tag, and was not sent every one of them
        found = frames(slow, complete)
        assert sum(len(frame["values"]) for frame in found if frame["type"] == "values") <= rounds * len(tags)
    wait_for(lambda: not fresh.services.hub.clients, "both are forgotten")
