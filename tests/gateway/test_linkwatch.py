"""What is told of a link: outages, time down, traffic, and the time until a backlog is gone."""

import pytest
from tests.gateway.links import Clock
from tests.gateway.test_forecast import watched

from trunkline.gateway.linkwatch import LinkWatch, Traffic

HOUR = 3600.0


class Watched:
    """A link watch on a turned clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.bytes = 0
        self.watch = LinkWatch(self.clock.now, self.clock.ticks, lambda: self.bytes)

    def state(self) -> tuple[str | None, int]:
        return self.watch.error, self.watch.outages

    def pass_(self, seconds: float) -> None:
        self.clock.seconds += seconds


def test_outages_are_counted_once_and_timed() -> None:
    one = Watched()
    assert one.state() == ("not tried yet", 0)
    one.watch.up()
    assert one.state() == (None, 0)
    assert one.watch.down_seconds() == (0.0, 0.0)
    one.pass_(100)
    assert [one.watch.down("cut"), one.watch.down("still cut")] == [True, False]
    began = one.watch.since
    one.pass_(30)
    assert one.state() == ("still cut", 1)
    assert one.watch.since == began
    assert one.watch.down_seconds() == (30.0, 30.0), "the present one counts while it lasts"
    one.watch.up()
    one.pass_(HOUR)
    one.watch.down("again")
    one.pass_(5)
    one.watch.up()
    assert one.state() == (None, 2)
    assert one.watch.down_seconds() == (35.0, 35.0)
    assert one.watch.since == one.clock.now()


def test_a_start_without_the_site_is_an_outage() -> None:
    one = Watched()
    assert one.watch.down("nobody there")
    one.pass_(60)
    assert (one.watch.outages, one.watch.down_seconds()[0]) == (1, 60.0)


def test_the_last_day_forgets_what_is_older() -> None:
    one = Watched()
    one.watch.down("long")
    one.pass_(2 * HOUR)
    one.watch.up()
    one.pass_(23 * HOUR)
    assert one.watch.down_seconds() == (2 * HOUR, HOUR), "half of it is in the last 24 hours"
    one.pass_(2 * HOUR)
    assert one.watch.down_seconds() == (2 * HOUR, 0.0)
    one.watch.down("very long")
    one.pass_(100 * HOUR)
    assert one.watch.down_seconds() == (102 * HOUR, 24 * HOUR)


def test_traffic_is_that_of_the_last_minute() -> None:
    one = Watched()
    for _ in range(300):
        one.pass_(0.5)
        one.bytes += 1000
        one.watch.forwarded(20)
    assert one.watch.traffic() == pytest.approx(Traffic(40.0, 2000.0))
    one.pass_(30)
    assert one.watch.traffic() == pytest.approx(Traffic(20.0, 1000.0), rel=0.05)
    one.pass_(90)
    assert one.watch.traffic() == Traffic(0.0, 0.0)


def test_a_short_burst_is_not_more_than_it_was() -> None:
    one = Watched()
    one.bytes = 500
    one.watch.forwarded(10)
    assert one.watch.traffic() == Traffic(10.0, 500.0)


def test_the_time_until_nothing_waits() -> None:
    """300 kB that lose 1 kB a second are gone in the time that is left, however they came; what does not get less has no such time."""
    growing = [5000 * number for number in range(61)]
    draining = [300_000 - 5000 * number for number in range(1, 31)]
    assert watched(growing + draining).drained_in() == pytest.approx(150)
    assert watched(growing).drained_in() is None
    assert watched([*growing, *draining, *([150_000] * 121)]).drained_in() is None, "it stands still for ten minutes"
    assert watched([*growing, 0]).drained_in() is None
    assert watched([5000, 4000, 3000]).drained_in() is None, "not watched for long enough"
