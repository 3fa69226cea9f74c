"""Whatever happens: nothing is lost, nothing is doubled under two keys, and what is over is not told (W-140 to W-145, D-35)."""

from collections import defaultdict
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.notify.alarms import NOW, transition
from tests.notify.test_router import CHANNELS, standard

from trunkline.model import times
from trunkline.model.events import Alarm
from trunkline.model.notifications import TELLING, NotificationRequest, RequestKind
from trunkline.processing.notify.router import Router

SEVERITIES = ("LOW", "MEDIUM", "HIGH", "CRITICAL")
TAGS = [f"PLANT01.AREA0{area}.U.T{number}" for area in (1, 2) for number in range(3)]
RULES = [
    {"id": "critical", "severity": "CRITICAL", "channels": ["pd", "sms"]},
    {"id": "high", "severity": "HIGH", "channels": ["slack"]},
    {"id": "rest", "severity": ["MEDIUM", "LOW"], "channels": ["mail"], "digest_seconds": 900},
    {"id": "area", "assets": ["PLANT01.AREA02.**"], "channels": ["mail"]},
]
#: Held, then collected, then in a summary; the router is called at least once a second.
LONGEST_WAIT = (300 + 900 + 60 + 3) * times.SECOND


@dataclass
class Model:
    """An alarm as the test knows it.

    Attributes:
        since: when it last began to stand unacknowledged, µs UTC; None when it does not.
        told: whether somebody was told since then.
        keys: channels and keys that were told of it by itself since it was last over.
    """

    severity: str
    tag: str
    kind: str
    since: int | None = None
    acknowledged: bool = False
    told: bool = False
    keys: set[tuple[str, str]] = field(default_factory=set)


class Plant(RuleBasedStateMachine):
    """Alarms that come, get worse, are acknowledged, shelved and clear; restarts with and without a lost commit; time that passes."""

    def __init__(self) -> None:
        super().__init__()
        self.config = standard(rules=RULES, storm={"per_minute": 3, "critical_per_minute": 5})
        assert len(self.config.channels) == len(CHANNELS)
        self.router = Router(self.config, "UTC")
        self.kept: dict[str, bytes] = {}
        self.now = NOW
        self.alarms: dict[str, Model] = {}
        self.seen: dict[str, NotificationRequest] = {}
        self.next = 0

    # ------------------------------------------------------------------ what happens

    @rule(tag=st.sampled_from(TAGS), kind=st.sampled_from(["A", "B"]), severity=st.sampled_from(SEVERITIES))
    def rises(self, tag: str, kind: str, severity: str) -> None:
        name = f"o{self.next}"
        self.next += 1
        self.alarms[name] = Model(severity, tag, kind)
        self.goes(name, "ACTIVE")

    @rule(data=st.data(), state=st.sampled_from(["ACTIVE", "ACKNOWLEDGED", "CLEARED", "SUPPRESSED"]), severity=st.sampled_from(SEVERITIES))
    def changes(self, data: st.DataObject, state: str, severity: str) -> None:
        if self.alarms:
            name = data.draw(st.sampled_from(sorted(self.alarms)))
            if state == "ACTIVE":
                self.alarms[name].severity = severity
            self.goes(name, state)

    @rule(number=st.integers(2, 12), severity=st.sampled_from(SEVERITIES))
    def floods(self, number: int, severity: str) -> None:
        for place in range(number):
            self.rises(TAGS[place % len(TAGS)], f"F{place}", severity)

    @rule(seconds=st.sampled_from([1, 30, 61, 301, 901]))
    def time_passes(self, seconds: int) -> None:
        for _ in range(min(seconds, 4)):
            self.now += max(1, seconds // 4) * times.SECOND
            self.take(self.step([]), [])
        self.now += seconds * times.SECOND
        self.take(self.step([]), [])

    def goes(self, name: str, state: str) -> None:
        alarm = self.alarms[name]
        at = (self.now - NOW) / times.SECOND
        record = transition(name, state, at=at, severity=alarm.severity, tag=alarm.tag, kind=alarm.kind)
        if state == "ACTIVE":
            if alarm.since is None or alarm.acknowledged:
                alarm.since, alarm.told, alarm.acknowledged = self.now, False, False
        elif state == "ACKNOWLEDGED":
            alarm.acknowledged = alarm.since is not None
        self.take(self.step([record]), [record])
        if state in ("CLEARED", "SUPPRESSED"):
            assert not alarm.keys, "whoever was told hears of the end"
            alarm.since, alarm.acknowledged, alarm.told = None, False, False

    # ------------------------------------------------------------------ the runtime, which may be killed before and after its commit

    def step(self, alarms: list[Alarm]) -> list[NotificationRequest]:
        killed = Router(self.config, "UTC")
        killed.restore(self.kept)
        before = killed.evaluate(alarms, self.now)
        requests = self.router.evaluate(alarms, self.now)
        assert requests == before, "what a router asks for is a function of its entries and its input"
        for name, entry in self.router.changed().items():
            if entry is None:
                self.kept.pop(name, None)
            else:
                self.kept[name] = entry
        return requests

    # ------------------------------------------------------------------ what must hold

    def take(self, requests: list[NotificationRequest], alarms: list[Alarm]) -> None:
        over = {alarm.correlation_id for alarm in alarms if alarm.attributes["gateway_state"] != "ACTIVE"}
        for one in requests:
            assert one.id not in self.seen, "no request is made twice"
            self.seen[one.id] = one
            if one.kind in TELLING:
                self.told(one, over)
            elif one.kind in (RequestKind.DIGEST, RequestKind.STORM):
                assert one.items
                for item in one.items:
                    self.stands(item.occurrence, over)
                    self.alarms[item.occurrence].told = True
            else:
                name = one.dedup_key.partition("/")[0]
                assert (one.channel, one.dedup_key) in self.alarms[name].keys, "only who was told hears of the end"
                if one.kind is RequestKind.RESOLVE:
                    self.alarms[name].keys.remove((one.channel, one.dedup_key))

    def told(self, one: NotificationRequest, over: set[str]) -> None:
        name = one.dedup_key.partition("/")[0]
        self.stands(name, over)
        alarm = self.alarms[name]
        if one.kind is RequestKind.TRIGGER:
            assert (one.channel, one.dedup_key) not in alarm.keys, "a second trigger under one key: an update"
        alarm.keys.add((one.channel, one.dedup_key))
        alarm.told = True

    def stands(self, name: str, over: set[str]) -> None:
        alarm = self.alarms[name]
        assert alarm.since is not None, "what is over is not told"
        assert not alarm.acknowledged, "what somebody knows is not told"
        assert name not in over

    @invariant()
    def nothing_is_lost(self) -> None:
        for name, alarm in self.alarms.items():
            if alarm.since is not None and not alarm.acknowledged and not alarm.told:
                assert self.now - alarm.since <= LONGEST_WAIT, f"{name} stands and nobody was told"

    @invariant()
    def storms_are_bounded(self) -> None:
        minutes: dict[str, list[int]] = defaultdict(list)
        for entry in self.router._minutes.items():
            minutes[entry[0]].append(entry[1].sent)
        assert all(sent <= 5 for each in minutes.values() for sent in each)


Plant.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestPlant = Plant.TestCase
