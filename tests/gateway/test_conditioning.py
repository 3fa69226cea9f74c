import math

import pytest

from trunkline.config.tags import Deadband, TagConfig
from trunkline.gateway.conditioning import Conditioner
from trunkline.log.codec.writer import TagSlot
from trunkline.model import times
from trunkline.model.quality import Quality
from trunkline.model.reading import Reading, Value

NOW = times.from_iso("2026-01-01T00:00:00Z")
S = times.SECOND
TAG = "PLANT01.AREA01.UNIT_01.FLOW_RATE"


def conditioner(**options: object) -> Conditioner:
    tag = TagConfig.model_validate({"path": TAG, **options})
    return Conditioner([(tag, TagSlot.of(TAG, "plc", tag.value_kind, 4))], stale_after=10, lost_after=60, started=NOW)


def take(
    conditioned: Conditioner, value: Value, *, at: int = 0, quality: int = 0, source_time: int | None = 0
) -> list[tuple[Value, int, int | None]]:
    now = NOW + at * S
    reading = Reading(TAG, value, quality, None if source_time is None else now + source_time, now)
    return [(one.value, one.quality, one.source_time) for _, one in conditioned.take([reading], alive=False, now=now)]


def test_device_time_is_kept() -> None:
    assert take(conditioner(), 1.5, source_time=-2000) == [(1.5, Quality.GOOD, NOW - 2000)]


def test_missing_device_time_makes_uncertain() -> None:
    """W-108."""
    assert take(conditioner(), 1.5, source_time=None) == [(1.5, Quality.UNCERTAIN_NO_SOURCE_TIME, None)]


def test_gateway_time_by_choice_stays_good() -> None:
    """D-16: Modbus has no clock."""
    assert take(conditioner(time="gateway"), 1.5, source_time=None) == [(1.5, Quality.GOOD, None)]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("double", math.nan, (None, Quality.BAD_NOT_FINITE)),
        ("double", math.inf, (None, Quality.BAD_NOT_FINITE)),
        ("integer", 1.5, (None, Quality.BAD_TYPE)),
        ("integer", 2**63, (None, Quality.BAD_TYPE)),
        ("boolean", "yes", (None, Quality.BAD_TYPE)),
        ("text", "x" * 1_000_000, (None, Quality.BAD_DECODING)),
        ("double", 3, (3.0, Quality.GOOD)),
        ("double", None, (None, Quality.BAD)),
    ],
)
def test_values_that_cannot_be_are_bad_and_empty(kind: str, value: Value, expected: tuple[Value, int]) -> None:
    """P-12, PD-26."""
    assert [(one, quality) for one, quality, _ in take(conditioner(kind=kind), value)] == [expected]


def test_unknown_tags_are_counted() -> None:
    one = conditioner()
    assert one.take([Reading("OTHER", 1.0, 0, NOW, NOW)], alive=False, now=NOW) == []
    assert one.unknown_tags == 1


def test_absolute_deadband_reports_changes_quality_and_long_silence() -> None:
    one = conditioner(deadband=Deadband(absolute=1.0), max_silence=30)
    assert take(one, 10.0, at=0)
    assert not take(one, 10.9, at=1)
    assert not take(one, 11.0, at=2)
    assert take(one, 11.1, at=3)
    assert take(one, 11.1, at=4, quality=Quality.UNCERTAIN)
    assert not take(one, 11.5, at=5, quality=Quality.UNCERTAIN)
    assert take(one, 11.5, at=34, quality=Quality.UNCERTAIN)
    assert one.suppressed == 3


def test_percent_deadband_is_of_the_range() -> None:
    """OPC UA Part 8, 7.2."""
    one = conditioner(deadband=Deadband(percent=1), min=0, max=200)
    assert take(one, 10.0)
    assert not take(one, 12.0)
    assert take(one, 12.1)


def test_silence_is_told_once_as_stale_then_once_as_lost() -> None:
    one = conditioner()
    take(one, 5.0, at=0)
    assert one.silent(NOW + 9 * S, NOW) == []
    ((_, stale),) = one.silent(NOW + 11 * S, NOW)
    assert (stale.value, stale.quality) == (5.0, Quality.UNCERTAIN_STALE)
    assert one.stale == 1
    assert one.silent(NOW + 30 * S, NOW) == []
    ((_, lost),) = one.silent(NOW + 61 * S, NOW)
    assert (lost.value, lost.quality) == (None, Quality.BAD_COMMS_LOST)
    assert one.silent(NOW + 300 * S, NOW) == []
    take(one, 6.0, at=301)
    assert one.stale == 0
    assert len(one.silent(NOW + 312 * S, NOW)) == 1


def test_tags_never_heard_are_lost_once() -> None:
    one = conditioner()
    assert one.silent(NOW + 30 * S, NOW) == []
    assert [mark.quality for _, mark in one.silent(NOW + 61 * S, NOW)] == [Quality.BAD_COMMS_LOST]
    assert one.silent(NOW + 62 * S, NOW) == []


def test_a_device_that_is_alive_keeps_quiet_tags_fresh() -> None:
    one = conditioner()
    take(one, 5.0, at=0)
    for second in range(1, 100, 5):
        one.take([], alive=True, now=NOW + second * S)
    assert one.silent(NOW + 100 * S, NOW) == []


@pytest.mark.parametrize(("ahead", "marked"), [(6, True), (-6, True), (4, False)])
def test_skew_over_five_seconds_is_marked(ahead: int, marked: bool) -> None:
    """W-109, D-15."""
    ((_, quality, _),) = take(conditioner(), 1.0, source_time=ahead * S)
    assert (quality == Quality.UNCERTAIN_CLOCK_SKEW) == marked


def test_late_data_beside_live_data_is_no_skew() -> None:
    """D-15: devices that store and forward are late by design."""
    one = conditioner()
    take(one, 1.0, at=0, source_time=-5000)
    ((_, quality, _),) = take(one, 1.0, at=1, source_time=-86_400 * S)
    assert quality == Quality.GOOD


def test_what_was_seen_before_the_gateways_clock_was_set_back_is_forgotten() -> None:
    """D-15: a device whose clock is mended while the gateway's is set back stays marked for a minute at most, not for an hour."""
    one = conditioner()
    assert take(one, 1.0, at=0, source_time=7200 * S)[0][1] == Quality.UNCERTAIN_CLOCK_SKEW
    assert take(one, 1.0, at=-3600)[0][1] == Quality.GOOD


def test_the_age_of_what_lay_in_a_file_is_no_skew() -> None:
    """D-15: a file of last week says nothing of the clock that wrote it; sources say so with `late`."""
    old = Reading(TAG, 1.0, 0, NOW - 7 * times.DAY, NOW)
    assert [one.quality for _, one in conditioner().take([old], alive=False, now=NOW)] == [Quality.UNCERTAIN_CLOCK_SKEW]
    assert [one.quality for _, one in conditioner().take([old], alive=False, late=True, now=NOW)] == [Quality.GOOD]


def test_bad_quality_of_the_device_survives() -> None:
    """D-17: never raised to GOOD."""
    assert take(conditioner(), 7.0, quality=Quality.BAD_SENSOR_FAULT, source_time=None)[0][1] == Quality.BAD_SENSOR_FAULT
