"""Conflation, without a network: what a client still has to be told is at most one value a tag."""

import json

from hypothesis import given
from hypothesis import strategies as st

from trunkline.api.live.cache import LiveCache, LiveValue, is_under
from trunkline.api.live.hub import FRAME_VALUES, MAX_TAGS, Client, Hub, TooManyTags

TAGS = ["A.B.X", "A.B.Y", "A.C.X", "D"]


def value(tag: str, time: int, number: float = 0.0) -> LiveValue:
    return LiveValue(tag, number, 0, time, time)


def told(client: Client) -> list[list[object]]:
    rows: list[list[object]] = []
    for frame, count in client.take():
        body = json.loads(frame)
        if body["type"] == "values":
            assert len(body["values"]) == count
            rows += body["values"]
    return rows


@given(st.lists(st.tuples(st.sampled_from(TAGS), st.integers(0, 5), st.floats(0, 9))), st.data())
def test_whenever_it_reads_it_ends_with_the_newest(updates: list[tuple[str, int, float]], data: st.DataObject) -> None:
    hub = Hub(LiveCache())
    client = hub.join()
    hub.follow(client, "A")
    seen: dict[object, list[object]] = {}
    for tag, time, number in updates:
        hub.put([value(tag, time, number)])
        if data.draw(st.booleans()):
            rows = told(client)
            assert len(rows) == len({row[0] for row in rows})
            seen |= {row[0]: row for row in rows}
    seen |= {row[0]: row for row in told(client)}
    newest: dict[str, LiveValue] = {}
    for tag, time, number in updates:
        if tag not in newest or newest[tag].time <= time:
            newest[tag] = value(tag, time, number)
    assert seen == {tag: [tag, one.value, 0, one.time, one.time] for tag, one in newest.items() if is_under(tag, "A")}


def test_clients_share_one_encoding() -> None:
    hub = Hub(LiveCache())
    hub.put([value("D", 1)])
    assert hub.cache.encoded("D") is hub.cache.encoded("D")


def test_history_never_replaces_what_the_log_told() -> None:
    hub = Hub(LiveCache())
    hub.put([value("D", 5, 1.0)])
    hub.put([value("D", 5, 2.0), value("A.B.X", 1)], from_history=True)
    assert hub.cache.get("D") == value("D", 5, 1.0)
    assert "A.B.X" in hub.cache


def test_large_snapshots_come_in_pieces() -> None:
    hub = Hub(LiveCache())
    hub.put([value(f"A.T{number}", 1) for number in range(FRAME_VALUES + 1)])
    client = hub.join()
    hub.follow(client, "")
    assert [count for _, count in client.take()] == [FRAME_VALUES, 1]


def test_too_many_tags_change_nothing() -> None:
    hub = Hub(LiveCache())
    client = hub.join()
    hub.subscribe(client, ["D"])
    try:
        hub.subscribe(client, (f"A.T{number}" for number in range(MAX_TAGS)))
    except TooManyTags:
        assert client.tags == {"D"}
    else:
        raise AssertionError("accepted")


def test_who_leaves_is_forgotten() -> None:
    hub = Hub(LiveCache())
    client = hub.join()
    hub.subscribe(client, TAGS)
    hub.leave(client)
    hub.put([value(tag, 1) for tag in TAGS])
    assert told(client) == []
    assert not hub.clients
    assert not hub._by_tag


def test_notices_are_conflated_and_kept_for_those_who_join() -> None:
    hub = Hub(LiveCache())
    early = hub.join()
    for number in range(3):
        hub.announce("status", json.dumps({"type": "status", "n": number}).encode())
    late = hub.join()
    for client in (early, late):
        assert [json.loads(frame)["n"] for frame, _ in client.take()] == [2]
