import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.model import quality as q
from trunkline.model import times
from trunkline.model.identity import content_uuid, uuid7
from trunkline.model.quality import Quality, Severity
from trunkline.model.reading import Kind, Value, coerce
from trunkline.model.tags import TagPath


@pytest.mark.parametrize(
    ("code", "quality", "back"),
    [
        ("GOOD", Quality.GOOD, "GOOD"),
        ("BAD", Quality.BAD, "BAD"),
        ("UNCERTAIN", Quality.UNCERTAIN, "UNCERTAIN"),
        ("OOR", Quality.BAD_OUT_OF_RANGE, "OOR"),
        ("UNKNOWN", Quality.UNCERTAIN, "UNCERTAIN"),
        ("suspect", Quality.UNCERTAIN_SUSPECT_RATE, "UNCERTAIN"),
    ],
)
def test_short_codes_map_both_ways(code: str, quality: Quality, back: str) -> None:
    """P-13, PD-26, D-17."""
    assert q.from_short(code) is quality
    assert q.to_short(quality) == back


def test_unknown_short_code_names_those_there_are() -> None:
    """P-122."""
    with pytest.raises(ValueError, match=r"'FINE'.*GOOD"):
        q.from_short("FINE")


@given(st.integers(0, 2**32 - 1))
def test_opcua_status_codes_keep_severity_and_subcode(status: int) -> None:
    """D-17: what a device says is kept, named by us or not."""
    quality = q.from_opcua(status)
    assert 0 <= quality <= 0xFFFF
    assert q.severity(quality) == min(status >> 30, Severity.BAD)
    if quality not in q.NEAREST_OPCUA:
        assert q.to_opcua(quality) == status & 0xCFFF0000


@pytest.mark.parametrize("ours", sorted(q.NEAREST_OPCUA))
def test_own_reasons_become_standard_codes_of_the_same_severity(ours: int) -> None:
    outward = q.from_opcua(q.to_opcua(ours))
    assert outward not in q.NEAREST_OPCUA
    assert q.severity(outward) == q.severity(ours)


@pytest.mark.parametrize("validity", ["good", "questionable", "invalid"])
def test_iec61850_validity_survives(validity: str) -> None:
    """D-17."""
    assert q.to_iec61850(q.from_iec61850(validity)) == validity


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_quality_only_gets_worse(one: int, other: int) -> None:
    """D-17."""
    assert q.severity(q.worse(one, other)) == max(q.severity(one), q.severity(other))


def test_every_named_quality_has_words() -> None:
    assert not [one.name for one in Quality if "0x" in q.reason(one)]
    assert q.reason(0x8123) == "bad 0x8123"


@pytest.mark.parametrize("path", ["PLANT01.AREA02.UNIT_05.FLOW_RATE", "TAG", "A.B-1.C_2.3D.E.F"])
def test_good_paths(path: str) -> None:
    """P-11, P-27, PD-29."""
    assert str(TagPath.parse(path)) == path


def test_path_levels() -> None:
    path = TagPath.parse("PLANT01.AREA02.UNIT_05.FLOW_RATE")
    assert (path.level(0), path.level(1), path.level(2), path.tag) == ("PLANT01", "AREA02", "UNIT_05", "FLOW_RATE")
    assert path.asset == "PLANT01.AREA02.UNIT_05"
    assert TagPath.parse("ROOT.TAG").level(1) == ""


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("", "part 1"),
        ("PLANT01..FLOW", "part 2"),
        ("PLANT01.unit 5.FLOW", "'UNIT_5'"),
        ("_A.B", "start with a letter or digit"),
        ("A." + "B" * 65 + ".C", "at most 64"),
        ("A." + "B" * 129, "at most 128"),
        (".".join(["A" * 60] * 5), "at most 256"),
        ("PLANT01.ÄREA.FLOW", "part 2"),
    ],
)
def test_bad_paths_say_which_part_and_how_to_mend(path: str, says: str) -> None:
    """PD-29, P-122."""
    with pytest.raises(ValueError, match=says):
        TagPath.parse(path)


@pytest.mark.parametrize(
    ("value", "kind", "fit"),
    [
        (1, Kind.DOUBLE, 1.0),
        (2.0, Kind.INTEGER, 2),
        (-(2**63), Kind.INTEGER, -(2**63)),
        (True, Kind.INTEGER, 1),
        (1, Kind.BOOLEAN, True),
        (0.0, Kind.BOOLEAN, False),
        ("x", Kind.TEXT, "x"),
        (None, Kind.INTEGER, None),
    ],
)
def test_values_fit_their_kind(value: Value, kind: Kind, fit: Value) -> None:
    result = coerce(value, kind)
    assert result == fit
    assert type(result) is type(fit)


@pytest.mark.parametrize(
    ("value", "kind"), [(1.5, Kind.INTEGER), ("1", Kind.DOUBLE), (2, Kind.BOOLEAN), (3, Kind.TEXT), (float("nan"), Kind.INTEGER)]
)
def test_values_of_another_kind_are_refused(value: Value, kind: Kind) -> None:
    with pytest.raises(TypeError, match=kind.name.lower()):
        coerce(value, kind)


def test_integers_beyond_64_bits_are_refused() -> None:
    with pytest.raises(OverflowError):
        coerce(2**63, Kind.INTEGER)


@pytest.mark.parametrize("whole", [2**53 + 1, 10**400])
def test_integers_that_a_double_cannot_hold_are_refused(whole: int) -> None:
    with pytest.raises(OverflowError):
        coerce(whole, Kind.DOUBLE)


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_times_survive_text(us: int) -> None:
    """PD-27: UTC microseconds."""
    assert times.from_datetime(times.to_datetime(us)) == us
    assert times.from_iso(times.to_iso(us)) == us


@pytest.mark.parametrize("text", ["yesterday", "2026-11-21T10:00:00"])
def test_times_without_zone_or_sense_are_refused(text: str) -> None:
    """PD-27, P-122."""
    with pytest.raises(ValueError, match=r"zone|isoformat"):
        times.from_iso(text)


def test_offsets_are_honoured() -> None:
    assert times.from_iso("2026-11-21T13:00:00+02:00") == times.from_iso("2026-11-21T11:00:00Z")


def test_what_is_made_of_content_is_the_same_again() -> None:
    """P-9, PD-24: a stored id must not change with a release."""
    made = content_uuid(1_795_338_000_123_456, bytes(range(10)))
    assert str(made) == "01a2027b-d6fb-7004-8203-040506070809"
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert content_uuid(1_795_338_000_123_456, bytes(10)) != made


def test_uuid7_is_increasing_and_valid() -> None:
    """P-9, PD-24."""
    made = [uuid7() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert {one.version for one in made} == {7}
    assert {one.variant for one in made} == {uuid.RFC_4122}
