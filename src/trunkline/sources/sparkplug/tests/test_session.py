"""Births, deaths, aliases, sequence numbers: what the host asks for and when. No broker: time is a number here."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.model.quality import Quality
from trunkline.model.reading import Reading, Value
from trunkline.sources.broker.message import Message
from trunkline.sources.sparkplug import codec
from trunkline.sources.sparkplug.codec import Form, Metric, Payload
from trunkline.sources.sparkplug.config import SparkplugTagConfig
from trunkline.sources.sparkplug.datatypes import DataType
from trunkline.sources.sparkplug.readings import TagReader
from trunkline.sources.sparkplug.session import REBIRTH_INTERVAL, HostSession
from trunkline.sources.sparkplug.tests.edge import GROUP

NOW = 1_795_266_000_000_000
PATIENCE = 10.0


class Host:
    """A session with what it told; two tags: FLOW of the edge node, SPEED of its device."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, str]] = []
        self.events: list[tuple[str, dict[str, Value]]] = []
        self.at = 0.0
        tags = [("", "P.FLOW", "Flow"), ("pump", "P.SPEED", "Speed")]
        readers = [
            ("edge-1", device, TagReader(SparkplugTagConfig(path=path, node="edge-1", device=device or None, metric=metric), self._report))
            for device, path, metric in tags
        ]
        self.session = HostSession(readers, PATIENCE, self.at, self._report, lambda kind, _text, facts: self.events.append((kind, facts)))

    def _report(self, place: str, why: str) -> None:
        self.reports.append((place, why))

    def hear(self, kind: str, *metrics: Metric, device: str = "", node: str = "edge-1", **others: Any) -> list[Reading]:
        retained = others.pop("retained", False)
        payload = codec.encode(Payload(metrics=metrics, **others))
        topic = f"spBv1.0/{GROUP}/{kind}/{node}{f'/{device}' if device else ''}"
        return self.session.take(Message(0, topic, payload, 0, 0, retained, NOW), self.at)

    def born(self, bd_seq: int = 0) -> None:
        number = Metric(name="bdSeq", datatype=DataType.INT64, form=Form.LONG, raw=bd_seq)
        self.hear("NBIRTH", number, flow(1.0, alias=1), seq=0)
        self.hear("DBIRTH", speed(2.0, alias=2), device="pump", seq=1)

    def settled(self) -> bool:
        return self.session.settled

    def asked(self) -> bool:
        """Return whether the edge node is asked for its births now."""
        return self.session.rebirths(self.at) == ["edge-1"]


def flow(value: float, **others: Any) -> Metric:
    return Metric(**{"name": "Flow", "datatype": DataType.DOUBLE, "form": Form.DOUBLE, "raw": value, "timestamp": NOW // 1000, **others})


def speed(value: float, **others: Any) -> Metric:
    return flow(value, **{"name": "Speed", **others})


@pytest.fixture
def host() -> Host:
    """A host that has asked for births and got them, a while ago."""
    host = Host()
    assert host.asked()
    host.born()
    host.at = 100.0
    assert not host.asked()
    return host


def test_nothing_is_asked_of_an_edge_node_that_keeps_to_the_standard(host: Host) -> None:
    """Sequence numbers go round at 255 (4.2.1.2), over edge node and devices together."""
    for seq in range(2, 600):
        readings = host.hear("NDATA", flow(seq), seq=seq % 256) if seq % 3 else host.hear("DDATA", speed(seq), device="pump", seq=seq % 256)
        assert [reading.value for reading in readings] == [seq]
    assert not host.asked()
    assert host.settled()


@pytest.mark.parametrize(("first", "second"), [(0, 1), (254, 255), (255, 0), (None, 1)])
def test_a_birth_may_start_anywhere(host: Host, first: int | None, second: int) -> None:
    """4.2.1 asks for 0, 5.4 for 'a 'seq' number that is between 0 and 255 (inclusive)'; senders that leave a zero out mean it."""
    host.hear("NBIRTH", flow(1.0), seq=first)
    host.hear("NDATA", flow(2.0), seq=second)
    assert not host.asked()


@given(st.lists(st.booleans(), min_size=1, max_size=600))
def test_every_missing_message_is_noticed_by_the_next(kept: list[bool]) -> None:
    """Whatever is lost, except whole rounds of 256: the first message after a hole has the births asked for, and no other does."""
    host = Host()
    assert host.asked()
    host.born()
    missing = 0
    for seq, arrives in enumerate(kept, 2):
        host.at += REBIRTH_INTERVAL
        if not arrives:
            missing += 1
            continue
        readings = host.hear("NDATA", flow(seq), seq=seq % 256)
        assert [reading.value for reading in readings] == [seq], "what came is read all the same"
        assert host.asked() is (missing % 256 != 0)
        missing = 0


def test_births_are_asked_for_once_in_five_seconds(host: Host) -> None:
    asked = []
    for step in range(120):
        host.at = 100.0 + step / 10
        host.hear("NDATA", flow(1), seq=7)  # never the right number
        if host.asked():
            asked.append(host.at)
    assert asked == [100.0, 105.0, 110.0]
    assert host.session.next_due() == 115.0
    host.born()
    assert host.session.next_due() == math.inf
    assert [kind for kind, _ in host.events].count("SEQUENCE_GAP") == 4, "once for each request, and for the one that was due"


def test_a_request_that_had_to_wait_is_made_without_another_message(host: Host) -> None:
    host.hear("NDATA", flow(1), seq=7)
    assert host.asked()
    host.at += 1
    host.born()
    host.hear("NDATA", flow(1), seq=9)
    assert not host.asked()
    assert host.session.next_due() == 105.0
    host.at = host.session.next_due()
    assert host.asked()


@pytest.mark.parametrize(
    "messages",
    [
        [("NDATA", {"alias": 99, "name": None}, "")],
        [("NDATA", {"name": "Flaw"}, "")],
        [("NDATA", {"name": None}, "")],
        [("DDATA", {"name": "Speed"}, "tank")],
        [("DDATA", {"name": None, "alias": 1}, "pump")],
    ],
    ids=["unknown alias", "unknown name", "neither", "device without birth", "alias of another device"],
)
def test_what_no_birth_announced_has_births_asked_for(host: Host, messages: list[tuple[str, dict[str, Any], str]]) -> None:
    """5.14: reasons for a rebirth request; nothing is guessed."""
    for kind, told, device in messages:
        assert host.hear(kind, flow(9.9, **told), device=device, seq=2) == []
    assert host.asked()


def test_aliases_mean_what_the_last_birth_says(host: Host) -> None:
    host.hear("NBIRTH", flow(1.0, alias=2), Metric(name="Other", alias=1, datatype=DataType.INT8, form=Form.INT, raw=1), seq=0)
    assert host.hear("NDATA", Metric(alias=1, form=Form.INT, raw=5), seq=1) == []
    assert [one.value for one in host.hear("NDATA", Metric(alias=2, form=Form.DOUBLE, raw=5.0), seq=2)] == [5.0]
    host.hear("DDATA", Metric(alias=2, form=Form.DOUBLE, raw=5.0), device="pump", seq=3)
    assert host.asked(), "the device has to be born again after its edge node"


def test_a_death_of_an_earlier_connection_is_ignored(host: Host) -> None:
    """The broker may send the will of a lost connection after the birth of the next; whether the edge node lives is asked."""
    wrong = Metric(name="bdSeq", datatype=DataType.INT64, form=Form.LONG, raw=255)
    assert host.hear("NDEATH", wrong) == []
    assert host.asked()
    assert not host.settled()
    assert [one.value for one in host.hear("NDATA", flow(3.0), seq=2)] == [3.0]
    assert host.settled()
    assert host.session.missed(1e9, NOW) == []


def test_a_doubtful_death_is_believed_if_nothing_follows(host: Host) -> None:
    """Some edge nodes sign off with the number of their next connection."""
    wrong = Metric(name="bdSeq", datatype=DataType.INT64, form=Form.LONG, raw=1)
    host.hear("NDEATH", wrong)
    assert host.asked()
    assert host.session.next_due() == host.at + PATIENCE
    host.at += PATIENCE
    assert [(one.tag, one.quality) for one in host.session.missed(host.at, NOW)] == [
        ("P.FLOW", Quality.BAD_COMMS_LOST),
        ("P.SPEED", Quality.BAD_COMMS_LOST),
    ]
    assert [kind for kind, _ in host.events] == ["EDGE_NODE_UP", "EDGE_NODE_DOWN"]
    assert host.settled()
    host.born(1)
    assert [one.value for one in host.hear("NDATA", flow(3.0), seq=2)] == [3.0]


def test_a_death_ends_everything_of_the_edge_node(host: Host) -> None:
    """5.5: 'Host Applications MUST mark all metrics …'; a second certificate tells nothing new."""
    right = Metric(name="bdSeq", datatype=DataType.INT64, form=Form.LONG, raw=0)
    died = host.hear("NDEATH", right, timestamp=1)
    assert [(one.tag, one.value, one.quality, one.source_time, one.gateway_time) for one in died] == [
        ("P.FLOW", None, Quality.BAD_COMMS_LOST, None, NOW),
        ("P.SPEED", None, Quality.BAD_COMMS_LOST, None, NOW),
    ]
    assert not host.asked(), "it is dead: nobody would answer"
    assert host.hear("NDEATH", right) == []
    assert [kind for kind, _ in host.events] == ["EDGE_NODE_UP", "EDGE_NODE_DOWN"]
    assert host.hear("NDATA", flow(9.9), seq=2) == []
    assert host.asked(), "it speaks: it is alive after all"


def test_a_device_that_died_has_to_be_born_again(host: Host) -> None:
    assert [one.tag for one in host.hear("DDEATH", device="pump", seq=2, timestamp=NOW // 1000)] == ["P.SPEED"]
    assert host.hear("DDATA", speed(9.9), device="pump", seq=3) == []
    assert host.asked()
    assert [one.value for one in host.hear("DBIRTH", speed(3.0), device="pump", seq=4)] == [3.0]


def test_births_that_do_not_come_are_told() -> None:
    """An edge node that does not answer makes its tags BAD, once; a device that does not follow its edge node, too."""
    host = Host()
    assert not host.settled()
    assert host.session.missed(PATIENCE - 0.1, NOW) == []
    assert [(one.tag, one.quality) for one in host.session.missed(PATIENCE, NOW)] == [
        ("P.FLOW", Quality.BAD_COMMS_LOST),
        ("P.SPEED", Quality.BAD_COMMS_LOST),
    ]
    assert host.settled()
    assert host.session.missed(1e9, NOW) == []
    host.at = 20.0
    host.hear("NBIRTH", flow(1.0), seq=0)
    assert not host.settled()
    assert [one.tag for one in host.session.missed(30.0, NOW)] == ["P.SPEED"]
    assert host.settled()


def test_a_metric_that_the_birth_does_not_have_is_told_once() -> None:
    host = Host()
    for _ in range(3):
        (reading,) = host.hear("NBIRTH", flow(1.0, name="Flaw"), seq=0)
        assert (reading.tag, reading.quality) == ("P.FLOW", Quality.BAD_UNKNOWN_ADDRESS)
    assert host.reports == [("edge-1", "no metric 'Flow' in its birth: mend 'metric' of tag P.FLOW")]


def test_retained_births_are_old(host: Host) -> None:
    """[tck-id-topics-nbirth-mqtt]: 'retain equal to false'."""
    assert host.hear("NBIRTH", flow(9.9), seq=0, retained=True) == []
    assert host.session.unmatched == 1


def test_strangers_are_bounded(host: Host) -> None:
    for number in range(3_000):
        host.hear("NBIRTH", flow(1.0), node=f"stranger-{number}", seq=0)
        host.hear("DBIRTH", flow(1.0), device=f"stranger-{number}", seq=(2 + number) % 256)
    assert len(host.session.seen) == 1_001
    births = host.session.births("edge-1")
    assert births is not None
    assert len(births) <= 1_001
    assert host.session.births("stranger-1") is None


def test_only_present_values_confirm(host: Host) -> None:
    """A value of history is not the answer to a command."""
    expectation = host.session.expect("P.FLOW", 7.0)
    host.hear("NDATA", flow(7.0, historical=True), flow(6.0), seq=2)
    assert [expectation.met] == [False]
    host.hear("NDATA", flow(7.0), seq=3)
    assert expectation.met
    host.session.forget(expectation)


@given(
    st.lists(
        st.tuples(st.sampled_from(["NBIRTH", "NDEATH", "NDATA", "DBIRTH", "DDEATH", "DDATA", "XDATA"]), st.binary(max_size=40)), max_size=20
    )
)
def test_nothing_that_comes_raises(messages: list[tuple[str, bytes]]) -> None:
    host = Host()
    for kind, payload in messages:
        for topic in (f"spBv1.0/{GROUP}/{kind}/edge-1", f"spBv1.0/{GROUP}/{kind}/edge-1/pump", kind, ""):
            for reading in host.session.take(Message(0, topic, payload, 0, 0, False, NOW), host.at):
                assert reading.value is not None or reading.quality >= Quality.BAD
