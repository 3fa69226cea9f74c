"""How long store and forward still can, and what there is to warn of."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.gateway.forecast import Forecast, buffer_problems, span
from trunkline.ledger.status import BufferStatus, GatewayStatus, LinkStatus, decode_status, encode_status
from trunkline.model import times

START = times.from_iso("2026-01-01T00:00:00Z")
STEP = 5 * times.SECOND


def watched(sizes: list[int]) -> Forecast:
    forecast = Forecast()
    for number, size in enumerate(sizes):
        forecast.note(START + number * STEP, size)
    return forecast


def test_full_in_hours_at_this_rate() -> None:
    """PD-31: 1 kB a second into 7.2 MB is two hours, however long it was quiet before."""
    growing = [5000 * number for number in range(60)]
    assert watched(growing).full_in(7_200_000) == pytest.approx(7200)
    assert watched([0] * 200 + growing).full_in(7_200_000) == pytest.approx(7200)
    assert watched(growing).full_in(-5) == 0.0


@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [7],
        [5000 * number for number in range(10)],  # not a minute yet
        [4000] * 100,
        [5000 * number for number in range(60)] + [300_000 - 20_000 * number for number in range(15)],  # drains
        [5000 * number for number in range(60)] + [0] * 3,  # has drained
    ],
    ids=["nothing", "once", "short", "steady", "draining", "drained"],
)
def test_no_forecast_where_nothing_grows(sizes: list[int]) -> None:
    """PD-31: clear when draining or not growing."""
    assert watched(sizes).full_in(1e6) is None


@given(st.lists(st.tuples(st.integers(-(10**9), 10**9), st.integers(0, 10**12)), max_size=60))
def test_clocks_may_jump(samples: list[tuple[int, int]]) -> None:
    forecast = Forecast()
    for at, size in samples:
        forecast.note(START + at, size)
        full = forecast.full_in(1e6)
        assert full is None or full >= 0


def test_what_is_worth_a_warning() -> None:
    """PD-31, P-51: more than 100 that wait and the oldest older than 60 s; a forecast; a full disk."""
    calm = BufferStatus(100, 1, START - times.HOUR, 10)
    assert buffer_problems(calm, START) == []
    assert buffer_problems(msgspec.structs.replace(calm, waiting=101, oldest_waiting_us=START - 59 * times.SECOND), START) == []
    (said,) = buffer_problems(msgspec.structs.replace(calm, waiting=101), START)
    assert said == "101 records wait at the edge, the oldest for 60 minutes"
    (said,) = buffer_problems(msgspec.structs.replace(calm, full_in_s=7.5 * 3600), START)
    assert said.startswith("the edge buffer is full in 7.5 hours at this rate")
    (said,) = buffer_problems(msgspec.structs.replace(calm, disk_full=True), START)
    assert said.startswith("the disk of the edge journal is full")
    assert [span(seconds) for seconds in (90, 7300, 300_000)] == ["2 minutes", "2.0 hours", "3.5 days"]


def test_reports_are_read_across_releases() -> None:
    """An older gateway tells less, an older reader takes what it knows."""
    status = GatewayStatus("gw1", "o", START, "1", [], BufferStatus(1, 2, None, 3, 4, 5, 6.0, True), LinkStatus("up", START, None), [])
    assert decode_status(encode_status(status)) == status
    plain = msgspec.json.decode(encode_status(status))
    plain["buffer"] = {"waiting": 1, "bytes": 2, "oldest_waiting_us": None, "max_bytes": 3}
    assert decode_status(msgspec.json.encode(plain)).buffer == BufferStatus(1, 2, None, 3)

    class OldBuffer(msgspec.Struct):
        waiting: int
        bytes: int
        oldest_waiting_us: int | None
        max_bytes: int

    class OldStatus(msgspec.Struct):
        buffer: OldBuffer

    assert msgspec.json.decode(encode_status(status), type=OldStatus).buffer.max_bytes == 3
