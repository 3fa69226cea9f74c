"""The catalogue of topics: three layouts, one class that resolves names, and a whole way through each of them."""

from pathlib import Path

import pytest

from trunkline.config.site import LogConfig
from trunkline.log import reference
from trunkline.log.layouts import isa95
from trunkline.log.layouts.spec import YEAR, TopicSpec
from trunkline.log.opening import layout_of, open_edge_journal, open_site_log
from trunkline.log.partitioner import partition_of
from trunkline.log.topics import TABLES, Layout
from trunkline.model import times
from trunkline.model.reading import Category

CLASSES = (Category.TELEMETRY, Category.EVENT, Category.ALARM)


@pytest.fixture(params=sorted(TABLES))
def layout(request: pytest.FixtureRequest) -> Layout:
    return Layout(request.param, 4)


def spec(layout: Layout, name: str) -> TopicSpec:
    found = layout.spec(name)
    assert found is not None, name
    return found


def test_every_class_has_a_topic_at_every_stage(layout: Layout) -> None:
    names = [one.name for one in layout.specs()]
    assert len(names) == len(set(names))
    for category in CLASSES:
        assert layout.topics(category, "raw")
        assert len(layout.topics(category, "raw")) == len(layout.topics(category, "clean"))
        assert len(layout.topics(category, "dead")) == 1
    services = {layout.overflow, layout.gateway_status, layout.confirmations, layout.platform_log}
    assert len(services) == 4
    assert services <= set(names)


def test_a_raw_topic_and_its_clean_one_correspond_partition_by_partition(layout: Layout) -> None:
    """Decision 0002: a clean block covers what the raw block of the same partition covers."""
    assert set(layout.clean_of) == set(layout.categories("raw"))
    assert set(layout.clean_of.values()) == set(layout.categories("clean"))
    for raw, clean in layout.clean_of.items():
        assert layout.partitions_of(spec(layout, raw)) == layout.partitions_of(spec(layout, clean))
        assert layout.categories("raw")[raw] is layout.categories("clean")[clean]


def test_names_are_what_kafka_takes(layout: Layout) -> None:
    for one in layout.specs():
        assert one.name.replace(".", "").replace("-", "").replace("_", "").isalnum()
        assert len(one.name) <= 249
    dots = {one.name.replace(".", "_") for one in layout.specs()}
    assert len(dots) == len(layout.specs()), "names that differ in '.' and '_' only share their metrics"


def test_segments_roll_well_before_records_expire(layout: Layout) -> None:
    """ED-14: whole segments expire, by their newest record."""
    for one in layout.specs():
        assert one.retention_us is None or one.segment_us <= max(times.HOUR, one.retention_us // 7)


def test_every_topic_says_who_answers_for_it(layout: Layout) -> None:
    for one in layout.specs():
        assert one.purpose
        assert one.owner
        assert one.readers, one.name
        assert one.carries is None or one.writers


@pytest.mark.parametrize(
    ("name", "days"),
    [
        ("scada.l2.telemetry.flow", 7),
        ("scada.l2.telemetry.pressure", 7),
        ("scada.l2.telemetry.temperature", 7),
        ("scada.l2.telemetry.other", 7),
        ("scada.l2.events", 30),
        ("scada.l2.alarms", 90),
    ],
)
def test_isa95_topics(name: str, days: int) -> None:
    """P-22 to P-26, PD-30: 200 partitions, 7, 30 and 90 days."""
    found = spec(Layout("isa95", 200), name)
    assert found.partitions == 200
    assert found.scaled
    assert found.retention_us == days * times.DAY
    assert found.cleanup == "delete"


def test_the_topics_of_nodes_are_exactly_those_of_the_standard() -> None:
    """P-21, P-70, PD-22: whoever subscribes to `scada.l2.*` finds measurements, events and alarms, and nothing of ours."""
    layout = Layout("isa95", 200)
    level2 = {one.name for one in layout.specs() if one.name.startswith("scada.l2.")}
    assert level2 == set(layout.categories("raw"))
    assert len(level2) == 6


@pytest.mark.parametrize(
    ("tag", "measurement"),
    [
        ("PLANT01.AREA02.UNIT_05.FLOW_RATE", "flow"),
        ("PLANT01.AREA02.UNIT_05.PRESSURE", "pressure"),
        ("PLANT01.AREA02.UNIT_05.TEMPERATURE", "temperature"),
        ("PLANT01.AREA02.UNIT_05.OUTLET-TEMP", "temperature"),
        ("PLANT01.AREA02.UNIT_05.VIBRATION", "other"),
        ("PLANT01.FLOW.UNIT_05.SPEED", "other"),
        ("OVERFLOW", "other"),
    ],
)
def test_a_tag_finds_its_topic(tag: str, measurement: str) -> None:
    """P-28, PD-30."""
    layout = Layout("isa95", 200)
    assert isa95.measurement_of(tag) == measurement
    assert layout.topic(Category.TELEMETRY, "raw", tag) == f"scada.l2.telemetry.{measurement}"
    assert layout.topic(Category.TELEMETRY, "raw", tag, "pressure") == "scada.l2.telemetry.pressure"
    at = layout.place_of(layout.lane_of(tag))
    assert at == (f"scada.l2.telemetry.{measurement}", partition_of(tag.encode(), 200))


def test_a_known_partition_of_the_plant() -> None:
    """P-29, PD-16: the same as Java's for this key on 200 partitions."""
    layout = Layout("isa95", 200)
    assert layout.place_of(layout.lane_of("PLANT01.AREA02.UNIT_05.FLOW_RATE")).partition == 195


def test_one_topic_makes_lanes_and_partitions_equal() -> None:
    for name in ("gateway", "petroleum"):
        layout = Layout(name, 6)
        for tag in ("PLANT01.AREA02.UNIT_05.FLOW_RATE", "A", "B.C"):
            assert layout.lane_of(tag) == partition_of(tag.encode(), 6)


def test_gateway_topics() -> None:
    """W-69 to W-80 with D-19 and D-20."""
    layout = Layout("gateway", 4)
    kept = {
        "telemetry.raw": times.DAY,
        "telemetry.clean": 30 * times.DAY,
        "telemetry.1s": 7 * times.DAY,
        "telemetry.10s": 30 * times.DAY,
        "telemetry.1min": 90 * times.DAY,
        "telemetry.1hour": 2 * YEAR,
        "events.raw": 30 * times.DAY,
        "events.clean": 30 * times.DAY,
        "alarms.raw": 7 * YEAR,
        "alarms.clean": 7 * YEAR,
        "audit_trail": None,
    }
    assert {name: spec(layout, name).retention_us for name in kept} == kept
    more = {"logs.adapters", "logs.gateway", "logs.sinks", "dlq.invalid_telemetry", "dlq.invalid_events", "dlq.invalid_alarms"}
    more |= {"dlq.buffer_overflow", "metrics.gateways", "metrics.historian", "telemetry.1day"}
    more |= {"alarms.actions", "alarms.answers", "notifications", "notifications.deliveries"}
    more |= {f"state.{step}" for step in ("validate", "derive", "alarms", "anomaly", "notify")}
    assert {one.name for one in layout.specs()} == {*kept, *more}


@pytest.mark.parametrize(
    ("name", "partitions", "hours"),
    [
        ("scada.telemetry.raw", 6, 168),
        ("scada.telemetry.validated", 6, 720),
        ("scada.alarms", 3, 2160),
        ("scada.commands", 3, 24),
        ("well-testing.test-created", 3, 2160),
        ("well-testing.test-completed", 3, 2160),
        ("well-testing.ipr-calculated", 3, 2160),
        ("production.daily-production", 6, 2160),
        ("production.well-status-changed", 3, 720),
        ("system.audit-log", 3, 4320),
        ("system.user-activity", 3, 720),
    ],
)
def test_petroleum_topics(name: str, partitions: int, hours: int) -> None:
    """E-28 to E-38."""
    found = spec(Layout("petroleum", 6), name)
    assert (found.partitions, found.retention_us) == (partitions, hours * times.HOUR)


def test_stale_commands_leave_the_log_within_hours() -> None:
    """ED-14: 24 hours need segments of an hour."""
    assert spec(Layout("petroleum", 6), "scada.commands").segment_us == times.HOUR


def test_a_cluster_in_production_has_the_standard_partitions(layout: Layout) -> None:
    """PD-18: 200 stays the plant's profile, small counts are for development; the site file may say another number."""
    given = {"engine": "kafka", "bootstrap": "127.0.0.1:1", "insecure": True, "layout": layout.name}
    (standard,) = {one.partitions for one in layout.specs() if one.scaled}
    assert LogConfig.model_validate(given).partitions == standard
    assert LogConfig.model_validate({**given, "partitions": 7}).partitions == 7
    assert LogConfig.model_validate({**given, "profile": "development"}).partitions == 4
    assert LogConfig.model_validate({"layout": layout.name}).partitions == 4


def test_pages_are_up_to_date(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    assert reference.main(["--check", str(root / "docs/reference")]) == 0
    assert reference.main(["--check", str(tmp_path)]) == 1
    assert reference.main([str(tmp_path)]) == 0
    assert (tmp_path / "access.md").read_text() == (root / "docs/reference/access.md").read_text()


def test_both_ends_of_the_journal_get_their_topics(layout: Layout, tmp_path: Path) -> None:
    config = LogConfig(layout=layout.name, partitions=4)
    assert layout_of(config) == layout
    site, edge = open_site_log(config, tmp_path), open_edge_journal(config, tmp_path, "g1")
    try:
        assert set(site.topics()) == {one.name for one in layout.specs()}
        raw = edge.topics()
        assert set(raw) == {*layout.categories("raw"), layout.overflow, layout.platform_log}
        assert all(site.topics()[name].partitions == topic.partitions for name, topic in raw.items())
    finally:
        site.close()
        edge.close()
