"""What the API tells is what the site holds."""

from typing import Any

import httpx
import pytest
from tests.api import known
from tests.api.known import BIG, COUNTER, FLOW, MODE, READINGS, RUNNING, START, TAGS

from trunkline.model import times
from trunkline.model.quality import Quality


def get(client: httpx.Client, path: str, **params: Any) -> Any:
    response = client.get(path, params=params)
    assert response.status_code == 200, response.text
    return response.json()


def problem(client: httpx.Client, status: int, path: str, **params: Any) -> Any:
    response = client.get(path, params=params)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert set(body) == {"code", "title", "detail", "mend"}
    return body


def test_site_and_health(client: httpx.Client) -> None:
    site = get(client, "/site")
    assert (site["site"], site["title"], site["timezone"]) == ("plant-1", "Test plant", "Europe/Oslo")
    assert abs(site["now_us"] - times.now()) < 60 * times.SECOND
    assert get(client, "/health").keys() == {"status", "since_us"}


def test_tags_are_found_and_paged(client: httpx.Client) -> None:
    page = get(client, "/tags")
    assert [tag["tag"] for tag in page["tags"]] == TAGS
    assert (page["next"], page["total"]) == (None, 4)
    flow = next(tag for tag in page["tags"] if tag["tag"] == FLOW)
    assert flow == {
        "tag": FLOW, "kind": "double", "unit": "m³/h", "description": "what flow_rate is", "min": 0.0, "max": 1000.0, "gateway": "edge-1",
        "source": "plc",
    }  # fmt: skip
    assert [tag["tag"] for tag in get(client, "/tags", search="unit_05 FLOW")["tags"]] == [FLOW]
    assert get(client, "/tags", under="PLANT01.AREA02")["total"] == 3
    assert get(client, "/tags", search="%")["total"] == 0
    first = get(client, "/tags", limit=3)
    second = get(client, "/tags", limit=3, cursor=first["next"])
    assert [tag["tag"] for tag in first["tags"] + second["tags"]] == TAGS
    assert second["next"] is None


def test_the_tree_opens_level_by_level(client: httpx.Client) -> None:
    assert get(client, "/tree")["nodes"] == [{"name": "PLANT01", "path": "PLANT01", "branch": True, "tags": 4}]
    areas = get(client, "/tree", under="PLANT01")["nodes"]
    assert [(node["name"], node["tags"]) for node in areas] == [("AREA02", 3), ("AREA03", 1)]
    leaf = get(client, "/tree", under="PLANT01.AREA03.UNIT_01")["nodes"]
    assert leaf == [{"name": "MODE", "path": MODE, "branch": False, "tags": 1}]
    assert get(client, "/tree", under="NOWHERE")["nodes"] == []


def test_latest_values_have_quality_in_words(client: httpx.Client) -> None:
    values = {value["tag"]: value for value in get(client, "/latest", under="PLANT01")["values"]}
    assert list(values) == TAGS
    assert values[FLOW]["v"] == READINGS - 1
    assert (values[FLOW]["q"], values[FLOW]["quality"], values[FLOW]["severity"]) == (0, "GOOD", "good")
    assert values[FLOW]["t"] == START + (READINGS - 1) * times.SECOND
    assert values[FLOW]["gateway_t"] == values[FLOW]["t"] + 1000
    assert values[RUNNING]["v"] is True
    assert values[MODE]["v"] == "hand"
    assert [value["tag"] for value in get(client, "/latest", tag=[MODE, FLOW, "NO.SUCH"])["values"]] == [MODE, FLOW]


def test_large_integers_lose_nothing(client: httpx.Client) -> None:
    """TD-11: integers beyond 2^53 travel as text and say so."""
    (value,) = get(client, "/latest", tag=COUNTER)["values"]
    assert (value["v"], value["big"]) == (str(BIG), True)
    raw = get(client, "/history", tag=COUNTER, mode="raw", **{"from": START, "to": START + times.HOUR})
    assert raw["v"] == [1, str(BIG)]


def test_tags_are_counted_by_quality(client: httpx.Client) -> None:
    """What an overview needs, without every value."""
    good = {"q": 0, "quality": "GOOD", "reason": "good", "severity": "good", "tags": 4}
    assert get(client, "/quality") == {"tags": 4, "counts": [good]}
    assert get(client, "/quality", under="PLANT01.AREA03")["tags"] == 1
    assert get(client, "/quality", under="NOWHERE") == {"tags": 0, "counts": []}


def test_latest_needs_a_question(client: httpx.Client) -> None:
    assert problem(client, 422, "/latest")["code"] == "BAD_REQUEST"


def test_raw_history_is_every_reading_in_order(client: httpx.Client) -> None:
    span = {"from": START, "to": START + times.HOUR}
    raw = get(client, "/history", tag=FLOW, mode="raw", **span)
    assert (raw["tag"], raw["unit"], raw["kind"], raw["mode"], raw["truncated"]) == (FLOW, "m³/h", "double", "raw", False)
    assert raw["t"] == [START + second * times.SECOND for second in range(READINGS)]
    assert raw["v"][299:302] == [299.0, None, 301.0]
    assert raw["q"][299:302] == [0, Quality.BAD_COMMS_LOST, 0]
    first = get(client, "/history", tag=FLOW, mode="raw", limit=10, **span)
    assert (len(first["t"]), first["truncated"]) == (10, True)
    assert get(client, "/history", tag=MODE, mode="raw", **span)["v"] == ["auto", "hand"]
    assert get(client, "/history", tag=RUNNING, mode="raw", **span)["v"] == [True]


def test_a_chart_adds_up(client: httpx.Client) -> None:
    chart = get(client, "/history", tag=FLOW, points=10, **{"from": START, "to": START + 600 * times.SECOND})
    assert chart["mode"] == "chart"
    assert chart["bucket_us"] == times.MINUTE
    assert chart["t"] == [START + minute * times.MINUTE for minute in range(10)]
    assert chart["n"] == [60] * 10
    assert chart["readings"] == READINGS
    assert chart["bad"] == [0] * 5 + [1] + [0] * 4
    assert chart["min"][0] == 0
    assert chart["max"][9] == 599
    assert chart["avg"][0] == pytest.approx(29.5)
    assert chart["good_percent"] == pytest.approx(100 * (1 - 1 / READINGS))
    assert len({len(chart[name]) for name in ("t", "n", "min", "max", "avg", "bad")}) == 1


def test_a_chart_without_readings_is_empty(client: httpx.Client) -> None:
    """Gaps are gaps: no bucket is made up, and nothing is 100 % good."""
    chart = get(client, "/history", tag=FLOW, **{"from": START - 2 * times.HOUR, "to": START - times.HOUR})
    assert (chart["t"], chart["readings"], chart["good_percent"]) == ([], 0, None)


def test_the_value_at_a_moment(client: httpx.Client) -> None:
    moment = START + 10 * times.SECOND + 500_000
    held = get(client, "/history", tag=FLOW, mode="at", at=moment)
    assert (held["v"], held["q"], held["t"], held["from_t"]) == (10.0, 0, moment, START + 10 * times.SECOND)
    assert get(client, "/history", tag=FLOW, mode="at", at=moment, interpolate="linear")["v"] == pytest.approx(10.5)
    assert get(client, "/history", tag=FLOW, mode="at", at=START - 1) == {
        "tag": FLOW, "mode": "at", "t": START - 1, "v": None, "q": None, "from_t": None,
    }  # fmt: skip


def test_times_may_be_iso(client: httpx.Client) -> None:
    span = {"from": times.to_iso(START), "to": times.to_iso(START + 10 * times.SECOND)}
    assert len(get(client, "/history", tag=FLOW, mode="raw", **span)["t"]) == 10


@pytest.mark.parametrize(
    "params",
    [
        {"from": "yesterday"},
        {"from": "2026-11-21T13:00:00"},
        {"from": "9" * 18, "to": "9" * 18},
        {"from": "10", "to": "5"},
        {"from": "5", "to": "5"},
        {"points": "0"},
        {"points": "x"},
        {"mode": "fast"},
        {"limit": "-1"},
        {"at": "0x10", "mode": "at"},
        {"tag": "A\0B"},
        {"tag": "A" * 300},
    ],
)
def test_meaningless_parameters_are_explained(client: httpx.Client, params: dict[str, str]) -> None:
    """PD-27: a time without a zone is refused."""
    assert problem(client, 422, "/history", **{"tag": FLOW, **params})["code"] == "BAD_REQUEST"


def test_an_unknown_tag_is_not_found(client: httpx.Client) -> None:
    for mode in ("raw", "chart", "at"):
        assert problem(client, 404, "/history", tag="NO.SUCH", mode=mode)["code"] == "TAG_UNKNOWN"


def test_events_newest_first_with_pages(client: httpx.Client) -> None:
    span = {"from": START, "to": START + times.HOUR}
    page = get(client, "/events", **span)
    assert len(page["events"]) == 11
    assert [event["time_us"] for event in page["events"]] == sorted((event["time_us"] for event in page["events"]), reverse=True)
    alarm = page["events"][0]
    assert (alarm["category"], alarm["type"], alarm["severity"], alarm["active"]) == ("alarm", "HIGH_FLOW", 3, True)
    assert (alarm["value"], alarm["threshold"], alarm["unit"]) == (512.5, 500.0, "m³/h")
    event = page["events"][1]
    assert (event["before"], event["after"], event["severity"]) == ("stopped", "running", None)
    assert event["attributes"] == {"operator": "maria", "count": str(BIG)}
    assert len(get(client, "/events", category="alarm", **span)["events"]) == 1
    assert len(get(client, "/events", search="try 7", **span)["events"]) == 1
    assert get(client, "/events", under="PLANT01.AREA03", **span)["events"] == []
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        part = get(client, "/events", limit=4, cursor=cursor, **span)
        seen += [event["id"] for event in part["events"]]
        cursor = part["next"]
    assert seen == [event["id"] for event in page["events"]]


def test_made_up_cursors_are_refused(client: httpx.Client) -> None:
    for path, cursor in (("/events", "x"), ("/events", "1:2"), ("/deadletters", "x"), ("/deadletters", "1.2.3.4.5.6.7")):
        assert problem(client, 422, path, cursor=cursor)["code"] == "BAD_REQUEST"


def test_dead_letters_newest_first_with_pages(client: httpx.Client) -> None:
    """W-67: topic, position and reason of what was refused."""
    page = get(client, "/deadletters")
    assert page["total"] == known.DEAD_LETTERS
    assert [row["offset"] for row in page["rows"]] == list(range(known.DEAD_LETTERS))[::-1]
    row = page["rows"][0]
    assert (row["topic"], row["partition"], row["tag"], row["gateway"], row["source"]) == (
        "dlq.invalid_telemetry",
        0,
        FLOW,
        "edge-1",
        "plc",
    )
    assert (row["reason"], row["value"]) == ("range: 24 is above 0", 24.0)
    seen: list[int] = []
    params: dict[str, Any] = {"limit": 10}
    while True:
        part = get(client, "/deadletters", **params)
        seen += [row["offset"] for row in part["rows"]]
        if part["next"] is None:
            break
        params["cursor"] = part["next"]
    assert seen == list(range(known.DEAD_LETTERS))[::-1]


def test_the_ledger_balances_and_says_so(client: httpx.Client) -> None:
    total = len(known.readings())
    ledger = get(client, "/ledger")
    assert ledger["balanced"] is True
    assert (ledger["totals"]["read"], ledger["totals"]["stored"], ledger["totals"]["missing"]) == (total, total, 0)
    assert f"read {total:,} = " in ledger["proof"]
    (row,) = [row for row in ledger["rows"] if row["category"] == "telemetry"]
    assert (row["gateway"], row["source"], row["hour_us"], row["balanced"]) == ("edge-1", "plc", START, True)
    assert ledger["holes"] == []
    assert get(client, "/ledger", **{"from": START + times.HOUR})["rows"] == []
    assert problem(client, 422, "/ledger", **{"from": 2, "to": 1})["code"] == "BAD_REQUEST"


def test_status_tells_what_gateways_report(client: httpx.Client) -> None:
    status = get(client, "/status")
    assert status["roles"] == []
    (gateway,) = status["gateways"]
    assert gateway.keys() == {"gateway", "at_us", "sources", "buffer", "link", "problems"}
    assert gateway["sources"][0]["state"] == "connected"
    assert gateway["buffer"]["max_bytes"] == 10**10
    assert gateway["problems"] == []
