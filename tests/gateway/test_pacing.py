"""What the ceiling counts: bytes that a client says it wrote, and estimates between its words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.gateway.links import Clock

from trunkline.config.site import LinkConfig
from trunkline.gateway.pacing import Bucket, Pace
from trunkline.log.uplink import Uplink


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 3000)), max_size=50))
def test_a_bucket_never_gives_more_than_its_rate_and_a_burst(asked: list[tuple[float, int]]) -> None:
    """Whatever is asked for and when: bytes taken in any stretch stay below the rate, one second's worth and one record."""
    bucket = Bucket(1000, 0.0)
    now, taken = 0.0, [(0.0, 0)]
    for pause, size in asked:
        now += pause
        if bucket.level(now) > 0:
            bucket.take(size)
            taken.append((now, size))
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            total = sum(size for _, size in taken[first : last + 1])
            assert total <= 1000 * (taken[last][0] - taken[first][0]) + 1000 + 3000 + 1e-6


@pytest.mark.parametrize("part", [0.1, 0.25, 1.3])
def test_the_ceiling_is_of_bytes_on_the_link_not_of_records(part: float) -> None:
    """What is compressed to a quarter may be four times as much; what the protocol makes larger, less."""
    clock, uplink = Clock(), Uplink("zstd")
    pace = Pace(LinkConfig(max_bytes_per_second=10_000), lambda: uplink.sent_bytes, clock.ticks)
    wrote = said = 0.0
    while clock.seconds < 120:
        if room := pace.room():
            wrote += room * part
            pace.acknowledged(room, room, 0.0, backlog=False)
        clock.seconds += 0.25
        if clock.seconds - said >= 0.5:  # the client's own timer
            uplink.note(json.dumps({"name": "trunkline#producer-1", "tx_bytes": int(wrote), "rx_bytes": 5, "brokers": {}}))
            said = clock.seconds
    assert uplink.sent_bytes == int(wrote)
    assert 0.9 * 1_200_000 < wrote < 1.05 * 1_200_000
    assert pace.measured
    assert pace.total == pytest.approx(wrote, rel=0.02)


def test_a_client_made_anew_counts_from_nothing() -> None:
    uplink = Uplink("lz4")
    for name, count in (("a#producer-1", 100), ("a#producer-1", 250), ("a#producer-2", 40), ("a#producer-2", 40)):
        uplink.note(json.dumps({"name": name, "tx_bytes": count}))
    assert uplink.sent_bytes == 290


def test_without_a_meter_records_are_counted() -> None:
    clock = Clock()
    pace = Pace(LinkConfig(), ticks=clock.ticks)
    pace.acknowledged(100, 160, 0.1, backlog=False)
    assert (pace.total, pace.measured) == (160, False)


def test_reports_take_a_tenth_of_the_ceiling() -> None:
    """The gateway's state goes over the same link; a large one comes less often, never so seldom that the gateway seems gone."""
    clock = Clock()
    pace = Pace(LinkConfig(max_bytes_per_second=10_000), ticks=clock.ticks)
    assert pace.reported(4000) == pytest.approx(4.0)
    assert pace.room() == 6000
    assert pace.reported(500_000) == 10.0
    assert pace.room() == 0
    assert Pace(LinkConfig(), ticks=clock.ticks).reported(10**6) == 0.0


def test_an_append_never_shrinks_to_nothing() -> None:
    pace = Pace(LinkConfig(), ticks=Clock().ticks)
    for _ in range(50):
        pace.failed()
        assert pace.room() >= 1000
        assert pace.urgent_room() >= 1000


def test_sizes_are_written_as_people_write_them() -> None:
    assert LinkConfig.model_validate({"max_bytes_per_second": "64K"}).max_bytes_per_second == 65_536
    with pytest.raises(ValidationError, match=r"backlog_bytes_per_second \(9000\) is a part of max_bytes_per_second \(8000\)"):
        LinkConfig(max_bytes_per_second=8000, backlog_bytes_per_second=9000)
