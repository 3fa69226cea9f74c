"""Which tags a pattern chooses: quality rules, alarms, rollups and routes all select their tags this way."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.model.tags import TagPattern

FLOW = "PLANT01.AREA02.UNIT_05.FLOW_RATE"


@pytest.mark.parametrize(
    "pattern",
    [
        FLOW,
        "PLANT01.AREA02.UNIT_05.*",
        "PLANT01.*.UNIT_0*.FLOW_RATE",
        "PLANT01.AREA02.*_05.*RATE",
        "**",
        "**.FLOW_RATE",
        "PLANT01.**",
        "PLANT01.**.FLOW_RATE",
        "PLANT01.**.AREA02.UNIT_05.FLOW_RATE",  # no level between is fine
        "**.AREA02.**.**.FLOW_*",
        FLOW + ".**",
        "**.*.UNIT*_*.**",
        "*A*T*.**.*",
    ],
)
def test_matches(pattern: str) -> None:
    assert TagPattern(pattern).matches(FLOW)


@pytest.mark.parametrize(
    "pattern",
    [
        "PLANT01.AREA02.UNIT_05",  # a branch is not the tags below it
        "AREA02.UNIT_05.FLOW_RATE",
        "PLANT01.*.FLOW_RATE",  # one level, not two
        "PLANT01.*.*.*.*",
        "*",
        "PLANT01.AREA02.UNIT_05.FLOW",
        "PLANT01.AREA02.UNIT_05.FLOW_RATE_",
        "**.RATE",
        "PLANT02.**",
        FLOW + ".*",
        "PLANT01.AREA02.UNIT-05.FLOW_RATE",
    ],
)
def test_does_not_match(pattern: str) -> None:
    assert not TagPattern(pattern).matches(FLOW)


def test_a_literal_part_has_no_meaning_of_its_own_in_the_expression() -> None:
    assert TagPattern("A-B.C").matches("A-B.C")
    assert not TagPattern("A-B.C").matches("A-BXC")


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("", "part 1"),
        ("A..B", "part 2"),
        ("A.b", "part 2 .'b'."),
        ("A.UNIT**", "a level of its own"),
        ("A.***", "a level of its own"),
        ("A.B?", "part 2"),
        ("A" * 257, "at most 256"),
    ],
)
def test_what_is_no_pattern_is_told(pattern: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TagPattern(pattern)


def test_only_a_pattern_without_wildcards_names_one_tag() -> None:
    assert TagPattern(FLOW).is_path
    assert not TagPattern("PLANT01.*").is_path


def test_equal_texts_are_equal_patterns() -> None:
    assert {TagPattern("A.*"), TagPattern("A.*")} == {TagPattern("A.*")}


@pytest.mark.parametrize(
    ("pattern", "path"),
    [(".".join(["**", "*"] * 8) + ".Z", ".".join(["A"] * 40)), ("*A" * 20 + "*Z", "A" * 120)],
)
def test_a_hostile_pattern_is_decided(pattern: str, path: str) -> None:
    """Many wildcards are decided in one pass; a match that explores every way would not end."""
    assert not TagPattern(pattern).matches(path)
    assert TagPattern(pattern.replace("Z", "A")).matches(path)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["A", "B", "A*", "*", "*B*", "**"]), min_size=1, max_size=6),
    st.lists(st.text("AB", min_size=1, max_size=3), min_size=1, max_size=6),
)
def test_agrees_with_trying_every_way(pattern: list[str], path: list[str]) -> None:
    def fits(left: list[str], levels: list[str]) -> bool:
        if not left:
            return not levels
        if left[0] == "**":
            return any(fits(left[1:], levels[skip:]) for skip in range(len(levels) + 1))
        return bool(levels) and fnmatchcase(levels[0], left[0]) and fits(left[1:], levels[1:])

    assert TagPattern(".".join(pattern)).matches(".".join(path)) == fits(pattern, path)
