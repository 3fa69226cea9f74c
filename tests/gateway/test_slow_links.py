"""Forwarding over links that are slow, far away, or have a ceiling: real journals at both ends, a turned clock between them."""

from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from tests.gateway.links import IDLE, Clock, Link, alarm_topic, numbers, put, run, telemetry

from trunkline.config.site import LinkConfig, LogConfig
from trunkline.gateway.forwarder import BACKLOG_AGE, Forwarder
from trunkline.gateway.pacing import Pace
from trunkline.log.journal.journal import Journal
from trunkline.log.opening import layout_of, open_edge_journal, open_site_journal
from trunkline.log.port import Log
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.reading import Category


def forwarder_of(edge: Journal, link: Link, layout: Layout, clock: Clock, config: LinkConfig | None = None) -> Forwarder:
    pace = Pace(config or LinkConfig(), ticks=clock.ticks)
    return Forwarder(edge, link.opener, layout, clock.now, pace=pace, ticks=clock.ticks)


def aged(clock: Clock) -> None:
    """Let what was journalled become a backlog."""
    clock.seconds += BACKLOG_AGE / times.SECOND + 1


def most_in_any_window(link: Link, rate: int, *, late: bool | None = None) -> float:
    """Return by how many bytes the worst stretch of time exceeds what the rate allows in it."""
    chosen = [one for one in link.sent if late is None or one.late == late]
    worst = 0.0
    for first, one in enumerate(chosen):
        total = 0
        for other in chosen[first:]:
            total += other.size
            worst = max(worst, total - rate * (other.began - one.began))
    return worst


def test_a_ceiling_holds_over_every_stretch_of_time_and_is_used_up(edge: Journal, site: Log, layout: Layout) -> None:
    """Never more than the rate beyond the burst of a second and one record; not much less, either."""
    clock = Clock()
    put(edge, telemetry(layout), clock, 1500, partitions=3)
    aged(clock)
    link = Link(site, clock)
    forwarder = forwarder_of(edge, link, layout, clock, LinkConfig(max_bytes_per_second=20_000))
    began = clock.seconds
    run(forwarder, clock, lambda: len(numbers(link, telemetry(layout))) == 1500, 200)
    assert most_in_any_window(link, 20_000) <= 20_000 + 1100
    assert clock.seconds - began <= 1.1 * 1_500_000 / 20_000
    assert sorted(numbers(link, telemetry(layout))) == list(range(1500))


def test_an_alarm_never_waits_for_the_ceiling(edge: Journal, site: Log, layout: Layout) -> None:
    """The ceiling is charged with alarms, and telemetry pays: a flood of them goes at once."""
    clock = Clock()
    put(edge, telemetry(layout), clock, 300)
    aged(clock)
    link = Link(site, clock)
    forwarder = forwarder_of(edge, link, layout, clock, LinkConfig(max_bytes_per_second=5000))
    for second in range(10):
        put(edge, alarm_topic(layout), clock, 20 if second == 5 else 1)
        at = clock.seconds
        forwarder.step()
        assert clock.seconds == at
        assert len(numbers(link, alarm_topic(layout))) == sum(end for _, end in edge.bounds(alarm_topic(layout)).values())
        clock.seconds += 0.5
    run(forwarder, clock, lambda: len(numbers(link, telemetry(layout))) == 300, 200)
    flood = [one for one in link.sent if one.topic == alarm_topic(layout) and len(one.records) > 1][-1]
    next_bulk = next(one for one in link.sent if one.topic == telemetry(layout) and one.began >= flood.ended)
    assert next_bulk.began - flood.ended >= 20_000 / 5000 - 2.5, "telemetry waits until the debt is paid"


@pytest.mark.parametrize("name", ["gateway", "isa95"])
def test_an_alarm_waits_for_one_append_at_most(tmp_path: Path, name: Literal["gateway", "isa95"]) -> None:
    """On a slow link the append under way is not cut short, but nothing else goes before an alarm; nor is that append a long one."""
    config = LogConfig(partitions=3, layout=name)
    layout = layout_of(config)
    bulk = layout.topics(Category.TELEMETRY, "raw")
    clock = Clock()
    with open_edge_journal(config, tmp_path, "gw1") as edge, open_site_journal(config, tmp_path) as site:
        for topic in bulk:
            put(edge, topic, clock, 100, partitions=3)
        aged(clock)
        link = Link(site, clock, bytes_per_s=8000)
        forwarder = forwarder_of(edge, link, layout, clock)

        def alarm_on_the_way(topic: str) -> None:
            if topic in bulk:
                put(edge, alarm_topic(layout), clock, 1, 200)
                put(edge, topic, clock, 1)

        link.on_way = alarm_on_the_way
        run(forwarder, clock, lambda: len(link.sent) >= 40, 300)
    urgent = [one.topic == alarm_topic(layout) for one in link.sent]
    assert all(one != other for one, other in pairwise(urgent))
    assert {one.late for one in link.sent if one.topic in bulk} == {True, False}
    assert max(one.ended - one.began for one in link.sent) <= 5


def test_live_data_goes_before_the_backlog_to_the_last_of_it(edge: Journal, site: Log, layout: Layout) -> None:
    """A burst that the link needs ten seconds for: nothing that waited before goes between."""
    clock = Clock()
    put(edge, telemetry(layout), clock, 50)
    aged(clock)
    link = Link(site, clock, bytes_per_s=8000)
    forwarder = forwarder_of(edge, link, layout, clock)
    forwarder.step()  # connects, splits
    before = len(link.sent)
    put(edge, telemetry(layout), clock, 70)
    run(forwarder, clock, lambda: len(numbers(link, telemetry(layout))) == 120, 60)
    late = [one.late for one in link.sent[before:]]
    assert late == sorted(late)
    assert late.count(False) > 2


def test_an_old_alarm_does_not_wait_for_live_telemetry(edge: Journal, site: Log, layout: Layout) -> None:
    """What waited through an outage counts as well: alarms of the backlog go before live data that the link does not keep up with."""
    clock = Clock()
    put(edge, alarm_topic(layout), clock, 5)
    aged(clock)
    put(edge, telemetry(layout), clock, 100)
    link = Link(site, clock)
    forwarder = forwarder_of(edge, link, layout, clock, LinkConfig(max_bytes_per_second=2000))
    forwarder.step()
    assert numbers(link, alarm_topic(layout)) == [0, 1, 2, 3, 4]
    assert link.sent[0].topic == alarm_topic(layout)


def test_live_data_passes_the_backlog_under_a_ceiling(edge: Journal, site: Log, layout: Layout) -> None:
    """Live first with the backlog beside it: 3 kB/s of new data under 6 kB/s leave the rest to 90 kB that waited."""
    clock = Clock()
    put(edge, telemetry(layout), clock, 90, partitions=3)
    aged(clock)
    link = Link(site, clock)
    forwarder = forwarder_of(edge, link, layout, clock, LinkConfig(max_bytes_per_second=6000))
    delays = []
    forwarder.step()  # connects, splits
    began = clock.seconds
    for _ in range(60):
        put(edge, telemetry(layout), clock, 3, partitions=3)
        made = clock.seconds
        while clock.seconds < made + 1:
            if not forwarder.step():
                clock.seconds += IDLE
        delays += [one.ended - made for one in link.sent if not one.late and one.began >= made]
    late = [one for one in link.sent if one.late]
    assert max(delays) <= 1
    assert sum(len(one.records) for one in late) == 90
    assert late[-1].ended - began <= 40
    assert sorted(numbers(link, telemetry(layout))) == list(range(270))


def test_a_backlog_has_a_ceiling_of_its_own(edge: Journal, site: Log, layout: Layout) -> None:
    clock = Clock()
    put(edge, telemetry(layout), clock, 100)
    aged(clock)
    link = Link(site, clock)
    forwarder = forwarder_of(edge, link, layout, clock, LinkConfig(max_bytes_per_second=50_000, backlog_bytes_per_second=2000))
    began = clock.seconds
    run(forwarder, clock, lambda: len(numbers(link, telemetry(layout))) == 100, 100)
    assert most_in_any_window(link, 2000, late=True) <= 2000 + 1100
    assert clock.seconds - began >= 45


def test_what_is_new_arrives_new_even_if_the_link_takes_half_of_it(edge: Journal, site: Log, layout: Layout) -> None:
    """Live data that falls behind becomes backlog: nothing older passes as live, and all arrive once, in their order."""
    clock = Clock()
    link = Link(site, clock)
    forwarder = forwarder_of(edge, link, layout, clock, LinkConfig(max_bytes_per_second=5000))
    made: dict[int, float] = {}
    for second in range(120):
        put(edge, telemetry(layout), clock, 10)
        made.update({10 * second + place: clock.seconds for place in range(10)})
        while clock.seconds < second + 1:
            if not forwarder.step():
                clock.seconds += IDLE
    ages = [one.ended - made[int(record.value[:9])] for one in link.sent if not one.late for record in one.records]
    assert max(ages) <= BACKLOG_AGE / times.SECOND + 1
    assert max(made[int(one.records[-1].value[:9])] for one in link.sent) >= 110, "the newest are among them"
    assert all(len(lane.backlog) <= 100 for lane in forwarder.outbox.lanes.values())
    run(forwarder, clock, lambda: len(numbers(link, telemetry(layout))) >= 1200, 300)
    for late in (False, True):
        order = [int(record.value[:9]) for one in link.sent if one.late == late for record in one.records]
        assert order == sorted(order)
    assert sorted(numbers(link, telemetry(layout))) == list(range(1200))


@pytest.mark.parametrize("rate", [500, 8000, 1_000_000])
def test_a_backlog_drains_over_a_link_that_cannot_take_it_in_one_append(edge: Journal, site: Log, layout: Layout, rate: int) -> None:
    """PD-3: appends shrink until the link finishes them within the time limit; else the same one would be given up for ever."""
    clock = Clock()
    put(edge, telemetry(layout), clock, 400, partitions=3)
    aged(clock)
    link = Link(site, clock, bytes_per_s=rate)
    forwarder = forwarder_of(edge, link, layout, clock)
    began = clock.seconds
    run(forwarder, clock, lambda: len(numbers(link, telemetry(layout))) == 400, 2 * 400_000 / rate + 60)
    assert link.given_up <= 3
    assert sorted(numbers(link, telemetry(layout))) == list(range(400))
    assert clock.seconds - began <= 1.3 * 400_000 / rate + 30


def test_a_record_larger_than_a_second_of_the_ceiling_goes_alone(edge: Journal, site: Log, layout: Layout) -> None:
    clock = Clock()
    put(edge, telemetry(layout), clock, 5, 30_000)
    link = Link(site, clock)
    forwarder = forwarder_of(edge, link, layout, clock, LinkConfig(max_bytes_per_second=5000))
    run(forwarder, clock, lambda: len(numbers(link, telemetry(layout))) == 5, 60)
    assert [len(one.records) for one in link.sent] == [1] * 5


def test_appends_grow_where_the_round_trip_is_long_and_the_link_wide(edge: Journal, site: Log, layout: Layout) -> None:
    """A satellite: 1.5 s there and back, 1 MB/s. At the size that suits a narrow link 4 MB would take over six minutes."""
    clock = Clock()
    put(edge, telemetry(layout), clock, 1000, 4000)
    aged(clock)
    link = Link(site, clock, bytes_per_s=1_000_000, round_trip=1.5)
    forwarder = forwarder_of(edge, link, layout, clock)
    began = clock.seconds
    run(forwarder, clock, lambda: len(numbers(link, telemetry(layout))) == 1000, 400)
    assert clock.seconds - began < 60


def test_a_link_that_is_cut_loses_and_doubles_nothing(edge: Journal, site: Log, layout: Layout) -> None:
    """PD-4, PD-6: cut in the middle of appends again and again; every record arrives, none is refused."""
    clock = Clock()
    put(edge, telemetry(layout), clock, 300, partitions=3)
    link = Link(site, clock, bytes_per_s=50_000)
    forwarder = forwarder_of(edge, link, layout, clock)
    for turn in range(12):
        link.limit = 0.001 if turn % 2 else 10.0
        try:
            forwarder.step()
        except Exception:  # noqa: BLE001 - as the forwarder's thread
            clock.seconds += 1
    link.limit = 10.0
    run(forwarder, clock, lambda: len(numbers(link, telemetry(layout))) >= 300, 60)
    assert link.given_up > 2
    assert sorted(numbers(link, telemetry(layout))) == list(range(300))
    assert all(not lane.poison for lane in forwarder.outbox.lanes.values())
