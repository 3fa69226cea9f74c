"""Who is told what and when (W-140 to W-145, D-35)."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from tests.notify.alarms import NOW, device_alarm, transition
from tests.notify.support import config

from trunkline.config.notifications import NotificationsConfig
from trunkline.model import times
from trunkline.model.events import Alarm, AlarmSeverity
from trunkline.model.notifications import NotificationRequest
from trunkline.processing.notify.router import Router

CHANNELS: tuple[dict[str, Any], ...] = (
    {"id": "pd", "type": "pagerduty", "integration_key": "${PAGERDUTY_KEY}"},
    {"id": "sms", "type": "sms", "url": "${secret:sms}", "phone_numbers": ["+4712345678"]},
    {"id": "slack", "type": "slack", "url": "${secret:slack}", "channel": "#alerts"},
    {"id": "mail", "type": "email", "host": "smtp.example.com", "sender": "t@example.com", "recipients": ["shift@example.com"]},
    {"id": "oncall_manager", "type": "sms", "url": "${secret:sms}", "phone_numbers": ["+4787654321"]},
)


def standard(**more: Any) -> NotificationsConfig:
    return config(*CHANNELS, **more)


class Play:
    """A router and the seconds that pass."""

    def __init__(self, notifications: NotificationsConfig | None = None, zone: str = "UTC") -> None:
        self.config = notifications or standard()
        self.zone = zone
        self.router = Router(self.config, zone)
        self.kept: dict[str, bytes] = {}

    def at(self, seconds: float, *alarms: Alarm) -> list[tuple[str, str]]:
        return told(self.requests(seconds, *alarms))

    def requests(self, seconds: float, *alarms: Alarm) -> list[NotificationRequest]:
        """What is asked for, with the router restored from its entries first: nothing may be kept elsewhere."""
        self.router = Router(self.config, self.zone)
        self.router.restore(self.kept)
        requests = self.router.evaluate(alarms, NOW + round(seconds * times.SECOND))
        for name, entry in self.router.changed().items():
            if entry is None:
                self.kept.pop(name, None)
            else:
                self.kept[name] = entry
        assert self.kept == self.router.entries()
        return requests


def told(requests: Iterable[NotificationRequest]) -> list[tuple[str, str]]:
    return [(one.channel, one.kind.value) for one in requests]


@pytest.mark.parametrize(
    ("severity", "wanted"),
    [
        ("CRITICAL", [("pd", "trigger"), ("sms", "trigger")]),
        ("HIGH", [("slack", "trigger")]),
        ("MEDIUM", []),
        ("LOW", []),
    ],
)
def test_the_standard_rules(severity: str, wanted: list[tuple[str, str]]) -> None:
    """W-141, W-142, W-143: CRITICAL by PagerDuty and SMS, HIGH by Slack, MEDIUM and LOW as a digest every 15 minutes."""
    play = Play()
    assert play.at(0, transition("a", severity=severity)) == wanted
    digest = [("mail", "digest")] if severity in ("MEDIUM", "LOW") else []
    assert play.at(899) == []
    assert [one for one in play.at(900) if one[1] != "escalate"] == digest


def test_history_is_never_told() -> None:
    play = Play()
    assert play.at(0, transition("a", live=False)) == []
    assert play.at(3600) == []


@pytest.mark.parametrize("word", ["shelved", "suppressed", "out of service"])
def test_what_is_kept_quiet_is_not_told(word: str) -> None:
    play = Play()
    assert play.at(0, transition("a", "SUPPRESSED", state=word)) == []
    assert play.at(3600) == []


def test_shelving_ends_what_was_told_and_unshelving_tells_again() -> None:
    play = Play()
    play.at(0, transition("a"))
    (ended, _) = play.requests(10, transition("a", "SUPPRESSED", at=10, shelved_until=NOW + times.HOUR, reason="maintenance"))
    assert (ended.channel, ended.kind.value) == ("pd", "resolve")
    assert "Shelved or suppressed" in ended.subject
    assert "maintenance" in ended.text
    assert play.at(3600, transition("a", at=3600)) == [("pd", "trigger"), ("sms", "trigger")]


def test_repeats_are_held_back_for_five_minutes() -> None:
    """W-144: the re-raise inside the window is counted, and told at its end because it still stands."""
    play = Play()
    play.at(0, transition("a"))
    assert play.at(10, transition("a", "CLEARED", at=10)) == [("pd", "resolve"), ("sms", "resolve")]
    assert play.at(20, transition("b", at=20)) == []
    assert play.at(30, transition("b", "CLEARED", at=30)) == []
    assert play.at(40, transition("c", at=40)) == []
    assert play.at(299.9) == []
    requests = play.requests(300)
    assert told(requests) == [("pd", "trigger"), ("sms", "trigger")]
    assert {one.dedup_key for one in requests} == {"c"}
    assert "Raised 2 times more" in requests[0].text
    assert play.at(310, transition("c", "CLEARED", at=310), transition("d", at=310)) == [("pd", "resolve"), ("sms", "resolve")]


def test_another_asset_or_type_is_no_repeat() -> None:
    play = Play()
    play.at(0, transition("a"))
    assert len(play.at(1, transition("b", kind="LOW_FLOW"))) == 2
    assert len(play.at(1, transition("c", tag="PLANT01.AREA02.UNIT_06.FLOW_RATE"))) == 2


def test_a_higher_severity_passes_at_once() -> None:
    """D-35: HIGH that turns CRITICAL within five minutes is not muted, be it the same occurrence or a new one."""
    play = Play()
    assert play.at(0, transition("a", severity="HIGH")) == [("slack", "trigger")]
    assert play.at(5, transition("a", severity="CRITICAL", at=5)) == [("pd", "trigger"), ("sms", "trigger")]
    assert play.at(6, transition("a", "CLEARED", at=6)) == [("slack", "resolve"), ("pd", "resolve"), ("sms", "resolve")]
    other = Play()
    other.at(0, transition("a", severity="HIGH"), transition("a", "CLEARED", severity="HIGH"))
    assert other.at(5, transition("b", severity="CRITICAL", at=5)) == [("pd", "trigger"), ("sms", "trigger")]


def test_a_worse_alarm_updates_the_channel_that_knows_it() -> None:
    everything = {"id": "all", "channels": ["slack"], "severity": ["HIGH", "CRITICAL"]}
    play = Play(standard(rules=[everything]))
    assert play.at(0, transition("a", severity="HIGH")) == [("slack", "trigger")]
    assert play.at(1, transition("a", severity="CRITICAL", at=1)) == [("slack", "update")]
    assert play.at(2, transition("a", severity="HIGH", at=2)) == []


def test_unacknowledged_alarms_escalate() -> None:
    """W-145: after 15 minutes, to oncall_manager; D-35: CRITICAL and HIGH only."""
    play = Play()
    play.at(0, transition("a"), transition("b", severity="MEDIUM", kind="OTHER"))
    assert play.at(899) == []
    assert play.at(900) == [("oncall_manager", "escalate"), ("mail", "digest")]
    assert play.at(5000) == []
    assert ("oncall_manager", "resolve") in play.at(5001, transition("a", "CLEARED", at=5001))


@pytest.mark.parametrize("end", ["ACKNOWLEDGED", "CLEARED", "SUPPRESSED"])
def test_acknowledging_and_clearing_cancel_the_escalation(end: str) -> None:
    """W-145."""
    play = Play()
    play.at(0, transition("a"))
    play.at(899, transition("a", end, at=899))
    assert play.at(900) == []
    assert play.at(5000) == []


def test_acknowledging_is_told_where_it_matters() -> None:
    """PagerDuty's incident is acknowledged too; nobody gets an SMS about it."""
    play = Play()
    play.at(0, transition("a"))
    (known,) = play.requests(5, transition("a", "ACKNOWLEDGED", at=5, acked_by="north"))
    assert (known.channel, known.kind.value, known.dedup_key) == ("pd", "acknowledge", "a")
    assert known.not_after == known.time + times.DAY
    assert play.at(9, transition("a", "ACKNOWLEDGED", at=9)) == []


@pytest.mark.parametrize("end", ["ACKNOWLEDGED", "CLEARED"])
def test_a_digest_has_what_stands_when_it_is_sent(end: str) -> None:
    """W-143; a clear cancels what is not sent yet."""
    play = Play()
    play.at(0, transition("a", severity="LOW", kind="A"), transition("b", severity="MEDIUM", kind="B"))
    play.at(10, transition("a", end, severity="LOW", kind="A", at=10))
    (digest,) = play.requests(900)
    assert [one.occurrence for one in digest.items] == ["b"]
    assert digest.severity is AlarmSeverity.MEDIUM
    assert "1 more came and are gone" in digest.text
    assert play.at(2000) == []


def test_a_digest_of_nothing_is_not_sent() -> None:
    play = Play()
    play.at(0, transition("a", severity="LOW"), transition("a", "CLEARED", severity="LOW"))
    assert play.at(900) == []


def test_a_flood_becomes_one_summary_and_critical_alarms_still_pass() -> None:
    """Storm protection: 20 messages a minute and channel, CRITICAL up to 60, the rest counted in one message."""
    rule = {"id": "all", "channels": ["slack"]}
    play = Play(standard(rules=[rule], escalation={"channels": []}))
    flood = [transition(f"h{number}", severity="HIGH", kind=f"H{number}") for number in range(30)]
    critical = [transition(f"c{number}", kind=f"C{number}") for number in range(50)]
    requests = play.requests(0, *flood, *critical)
    assert [one.dedup_key for one in requests] == [f"h{number}" for number in range(20)] + [f"c{number}" for number in range(40)]
    play.at(30, transition("h25", "CLEARED", severity="HIGH", kind="H25", at=30))
    assert play.at(59.9) == []
    (summary,) = play.requests(60)
    assert summary.kind.value == "storm"
    assert summary.subject == "Alarm flood: 10 CRITICAL, 9 HIGH"
    assert {one.occurrence for one in summary.items} == {f"c{number}" for number in range(40, 50)} | {
        f"h{number}" for number in range(20, 30) if number != 25
    }
    assert len(play.at(61, transition("x", severity="HIGH", kind="X", at=61))) == 1


def test_a_summary_goes_to_those_it_is_for() -> None:
    people = [{"id": name, "phone": "+4711111111"} for name in ("north", "south")]
    rules = [{"id": name, "channels": ["sms"], "people": [name], "types": [f"{name.upper()}*"]} for name in ("north", "south")]
    play = Play(standard(rules=rules, people=people, escalation={"channels": []}, storm={"per_minute": 1}))
    play.at(
        0,
        *(
            transition(f"{name}{number}", severity="LOW", kind=f"{name.upper()}{number}")
            for name in ("north", "south")
            for number in range(3)
        ),
    )
    found = {one.people: {item.occurrence for item in one.items} for one in play.requests(60)}
    assert found == {("north",): {"north1", "north2"}, ("south",): {"south0", "south1", "south2"}}


def test_rules_choose_by_asset_tag_type_and_hour() -> None:
    """W-140: patterns, types, and the time of day in the site's zone at the alarm's own time."""
    rules = [
        {"id": "area", "channels": ["slack"], "assets": ["PLANT01.AREA02.**"]},
        {"id": "tag", "channels": ["pd"], "tags": ["**.FLOW_*"]},
        {"id": "type", "channels": ["mail"], "types": ["HIGH_*"]},
        {"id": "night", "channels": ["sms"], "hours": {"start": "22:00", "end": "06:00", "days": ["thu"]}},
    ]
    play = Play(standard(rules=rules, escalation={"channels": []}), zone="Europe/Oslo")
    channels = [{one.channel for one in play.requests(0, alarm)} for alarm in (
        transition("a"),
        transition("b", tag="PLANT01.AREA03.UNIT_05.LEVEL", kind="HIGH_LEVEL"),
        transition("c", tag="PLANT01.AREA03.UNIT_05.LEVEL", kind="LOW_LEVEL"),
        # 2026-11-20 is a Friday: its early morning belongs to the night of Thursday, and 05:59 in Oslo is 04:59 UTC
        transition("d", tag="P.A", kind="X", at=-5 * 3600 - 60),
        transition("e", tag="P.B", kind="X", at=-5 * 3600),
    )]  # fmt: skip
    assert channels == [{"slack", "pd", "mail"}, {"mail"}, set(), {"sms"}, set()]


def test_the_people_are_those_on_duty_when_it_happened() -> None:
    rota = {
        "id": "ops",
        "start": "2026-11-16",
        "shifts": [{"name": "day", "start": "06:00", "end": "18:00"}, {"name": "night", "start": "18:00", "end": "06:00"}],
        "weeks": [{"day": ["north"], "night": ["south"]}],
    }
    people = [{"id": name, "phone": "+4711111111"} for name in ("north", "south")]
    rules = [{"id": "all", "channels": ["sms"], "rota": "ops"}]
    play = Play(standard(rules=rules, rotas=[rota], people=people))
    assert [one.people for one in play.requests(0, transition("a"))] == [("north",)]
    assert [one.people for one in play.requests(1, transition("b", kind="B", at=-5 * 3600))] == [("south",)]


def test_two_rules_for_one_channel_make_one_message() -> None:
    rules = [
        {"id": "slowly", "channels": ["mail"], "digest_seconds": 900},
        {"id": "at-once", "channels": ["mail", "slack"], "severity": "CRITICAL"},
    ]
    play = Play(standard(rules=rules))
    assert play.at(0, transition("a")) == [("mail", "trigger"), ("slack", "trigger")]


def test_a_device_alarm_is_told_once_it_has_a_life_cycle() -> None:
    """The device's own record and the alarm step's transition of it are on one topic: people hear of one of them."""
    play = Play()
    assert play.at(0, device_alarm(0)) == []
    assert play.at(1, transition("d", severity="HIGH", kind="DOOR_OPEN", rule="device")) == [("slack", "trigger")]


def test_a_latched_alarm_still_stands() -> None:
    """D-37: its condition went, and somebody has to reset it."""
    play = Play()
    play.at(0, transition("a"))
    latched = msgspec.structs.replace(transition("a", at=1, state="LATCHED_UNACKNOWLEDGED"), active=False)
    assert play.at(1, latched) == []
    assert play.at(900) == [("oncall_manager", "escalate")]


def test_a_remark_is_no_news() -> None:
    play = Play()
    play.at(0, transition("a"))
    assert play.at(1, transition("a", at=1, transition="COMMENT", reason="looked at it")) == []


def test_a_clear_that_arrives_late_still_ends_the_incident() -> None:
    play = Play()
    play.at(0, transition("a"))
    assert play.at(5000, transition("a", "CLEARED", at=10, live=False)) == [("pd", "resolve"), ("sms", "resolve")]


def test_the_same_request_has_the_same_id() -> None:
    """The idempotency key is made of content: a router that was killed before its commit asks for the same again."""
    alarm = transition("a")
    first, second = (Play().requests(0, alarm) for _ in range(2))
    assert [one.id for one in first] == [one.id for one in second]
    assert len({one.id for one in first}) == 2
    play = Play()
    every = play.requests(0, alarm) + play.requests(900) + play.requests(901, transition("a", "CLEARED", at=901))
    assert len({one.id for one in every}) == len(every) == 6


def test_a_subject_says_everything_once() -> None:
    (first, _) = Play().requests(0, transition("a"))
    assert first.subject == "CRITICAL HIGH_FLOW PLANT01.AREA02.UNIT_05.FLOW_RATE: flow is too high"
    whole = "HIGH_FLOW of PLANT01.AREA02.UNIT_05.FLOW_RATE is raised: 512.5 m³/h, limit 500 m³/h"
    (first, _) = Play().requests(0, msgspec.structs.replace(transition("a"), text=whole))
    assert first.subject == f"CRITICAL {whole}"


def test_text_of_devices_stays_in_its_line() -> None:
    nasty = msgspec.structs.replace(transition("a"), text="boom\r\nBcc: all@example.com\u2028\x1b[2J")
    (first, _) = Play().requests(0, nasty)
    assert "\n" not in first.subject
    assert "\r" not in first.subject + first.text
    assert "\x1b" not in first.subject + first.text
    assert "\nBcc" not in first.text


def test_a_channel_that_was_removed_is_asked_for_nothing() -> None:
    play = Play()
    play.at(0, transition("a"), transition("b", severity="LOW", kind="B"))
    play.config = config(CHANNELS[0])
    assert play.at(900, transition("a", "CLEARED", at=900)) == [("pd", "resolve")]
