"""Topic names, filters and JSONPaths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sources.jsonpath import check_path, compile_path
from trunkline.sources.mqtt.topics import Router, check_filter, check_name, covers, without_covered

_level = st.sampled_from(["a", "b", "", "$c"])
_topic = st.lists(_level, min_size=1, max_size=4).map("/".join).filter(bool)
_filter = st.builds(
    lambda levels, rest: "/".join([*levels, *rest]),
    st.lists(st.sampled_from(["a", "b", "", "+"]), min_size=1, max_size=3),
    st.sampled_from([[], ["#"]]),
).filter(bool)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "matches"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),  # MQTT 5.0, 4.7.1.2
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("#", "any/thing", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),  # 4.7.1.3
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/broker", False),  # 4.7.2
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/broker", True),
        ("a/b", "a/B", False),
    ],
)
def test_matching_as_in_the_standard(topic_filter: str, topic: str, matches: bool) -> None:
    """W-43: wildcards match as in MQTT 5.0, 4.7."""
    assert covers(topic_filter, topic) is matches
    assert bool(Router([(topic_filter, 1)]).receivers(topic)) is matches


@given(_filter, _filter, _topic)
def test_covering_filters_match_all_that_the_covered_match(wide: str, narrow: str, topic: str) -> None:
    if covers(wide, narrow) and covers(narrow, topic):
        assert covers(wide, topic)


@given(st.lists(_filter, max_size=6), _topic)
def test_leaving_out_covered_filters_loses_no_topic(filters: list[str], topic: str) -> None:
    kept = without_covered(filters)
    assert any(covers(one, topic) for one in kept) is any(covers(one, topic) for one in filters)
    assert set(kept) <= set(filters)


@pytest.mark.parametrize("wrong", ["", "a/#/b", "a#", "a/b+", "a\0b", "x" * 65_536])
def test_wrong_filters_are_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="topic"):
        check_filter(wrong)


def test_commands_need_one_topic() -> None:
    with pytest.raises(ValueError, match="one topic"):
        check_name("a/+")


def test_router_forgets_topics_that_a_device_invents() -> None:
    router = Router([("a/+", 1), ("a/#", 2), ("a/7", 3)])
    for number in range(25_000):
        assert set(router.receivers(f"a/{number}")) >= {1, 2}
    assert router.receivers("a/7") == (3, 1, 2)
    assert len(router._remembered) <= 10_000


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", [{"a": {"b": [1, 2, {"c": None}]}, "d e": 5}]),
        ("$.a.b[0]", [1]),
        ("$.a.b[-2]", [2]),
        ("$['a'].b[2].c", [None]),
        ("$['d e']", [5]),
        ("$.a.b[9]", []),
        ("$.a.b.c", []),
        ("$.a[0]", []),
        ("$.missing", []),
        ("$.a.b[*].c", [None]),
        ("$..c", [None]),
        ("$.a.b[?@ > 1]", [2]),
    ],
)
def test_paths(path: str, found: list[object]) -> None:
    """W-43: JSONPath of RFC 9535, plain paths and queries alike."""
    assert compile_path(path)({"a": {"b": [1, 2, {"c": None}]}, "d e": 5}) == found


@pytest.mark.parametrize("wrong", ["", "a.b", "$.", "$[", "$.a[?"])
def test_wrong_paths_are_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="is not a JSONPath"):
        check_path(wrong)
