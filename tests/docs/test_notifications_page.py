"""The how-to of notifications: every example of it is right, and does what the page says (W-140 to W-145, D-43)."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.support import trunkline
from tests.notify.support import request

from trunkline.config.loading import load
from trunkline.model import times
from trunkline.model.events import AlarmSeverity
from trunkline.processing.notify.routing import Routing
from trunkline.processing.notify.transition import Transition
from trunkline.sinks.notify.port import Site
from trunkline.sinks.notify.webhook import body_of, signature

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "notifications.md"
_EXAMPLE = re.compile(r"<!-- example: (\S+) -->\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)


def example(name: str) -> str:
    examples: dict[str, str] = dict(_EXAMPLE.findall(PAGE.read_text()))
    return examples[name]


def channels(text: str, folder: Path, severity: str, at: str, **alarm: str) -> dict[str, tuple[str, ...]]:
    """Whom the example tells of an alarm."""
    file = folder / "site.yaml"
    file.write_text(text)
    site = load(file)
    assert site.warnings == ()
    given: dict[str, Any] = {"asset": "PLANT01.AREA03.UNIT_01", "tag": "LEVEL", "type": "LOW_LEVEL", **alarm}
    came = Transition(
        id="t", occurrence="o", standing="active", live=True, time=times.from_iso(at), severity=AlarmSeverity[severity], **given
    )
    found = Routing(site.config.notifications, site.config.timezone).destinations(came)
    return {one.channel: one.people for one in found}


@pytest.mark.parametrize(
    ("severity", "wanted"), [("CRITICAL", {"pagerduty", "sms"}), ("HIGH", {"slack"}), ("MEDIUM", {"mail"}), ("LOW", {"mail"})]
)
def test_the_standard_rules(tmp_path: Path, severity: str, wanted: set[str]) -> None:
    """W-141, W-142, W-143."""
    assert channels(example("standard"), tmp_path, severity, "2026-11-20T10:00:00Z").keys() == wanted


def test_the_example_with_rules(tmp_path: Path) -> None:
    def told(severity: str, at: str, **alarm: str) -> dict[str, tuple[str, ...]]:
        return channels(example("rules"), tmp_path, severity, at, **alarm)

    # 2026-11-20 is a Friday of a second week: South by day, North by night, an hour ahead of UTC
    assert told("CRITICAL", "2026-11-20T10:00:00Z") == {"pagerduty": ("south",), "sms": ("south",), "hook": ()}
    assert told("CRITICAL", "2026-11-20T17:05:00Z")["sms"] == ("north", "south"), "the handover"
    assert told("CRITICAL", "2026-11-20T17:15:00Z")["sms"] == ("north",)
    assert told("CRITICAL", "2026-12-25T10:00:00Z")["sms"] == ("chief",)
    night = {"tag": "FLOW_RATE", "type": "HIGH_FLOW"}
    assert told("LOW", "2026-11-21T02:00:00Z", **night).keys() == {"sms", "mail", "hook"}
    assert told("LOW", "2026-11-22T23:00:00Z", **night).keys() == {"mail", "hook"}
    assert told("HIGH", "2026-11-20T10:00:00Z", asset="PLANT01.AREA02.UNIT_05").keys() == {"mail", "hook"}


def test_the_signature_can_be_checked() -> None:
    """The function of the page takes what a webhook gets, and refuses it once a byte is changed or it is old."""
    space: dict[str, Any] = {}
    exec(example("signature"), space)
    body, stamp = body_of(request(1), Site("plant-1", "")), str(times.now() // times.SECOND)
    headers = {"X-Trunkline-Timestamp": stamp, "X-Trunkline-Signature": signature(b"key", stamp, body)}
    assert space["genuine"](headers, body, b"key")
    assert not space["genuine"](headers, body + b" ", b"key")
    assert not space["genuine"](headers, body, b"other")
    old = str(int(stamp) - 301)
    assert not space["genuine"]({"X-Trunkline-Timestamp": old, "X-Trunkline-Signature": signature(b"key", old, body)}, body, b"key")


def test_alert_rules_become_the_standard_rules(tmp_path: Path) -> None:
    """W-140, D-43: the form of `alert_rules.yaml`, its placeholders kept."""
    file = tmp_path / "alert_rules.yaml"
    file.write_text(example("alert-rules"))
    refused = trunkline("notify", "import", file)
    assert refused.code == 2
    assert "--mail-server" in refused.text
    said = trunkline("notify", "import", file, "--mail-server", "smtp.example.com", "--mail-sender", "t@example.com")
    assert said.code == 0
    section = yaml.safe_load(said.out)["notifications"]
    assert section["channels"][0] == {"id": "pagerduty", "type": "pagerduty", "integration_key": "${PAGERDUTY_KEY}"}
    site = tmp_path / "site.yaml"
    site.write_text("site: plant-1\n" + said.out)
    rules = load(site).config.notifications.routes
    assert [(rule.severity, rule.channels, rule.digest_seconds) for rule in rules] == [
        (("CRITICAL",), ("pagerduty", "sms"), None),
        (("HIGH",), ("slack",), None),
        (("MEDIUM", "LOW"), ("email",), 900.0),
    ]


def test_a_key_that_was_written_out_is_not_printed(tmp_path: Path) -> None:
    file = tmp_path / "alert_rules.yaml"
    file.write_text(example("alert-rules").replace("${PAGERDUTY_KEY}", "R0123456789SECRET"))
    said = trunkline("notify", "import", file, "--mail-server", "smtp.example.com", "--mail-sender", "t@example.com")
    assert "SECRET" not in said.out + said.text
    assert "${secret:pagerduty}" in said.out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules: []\n", "rules"),
        ("rules:\n  - {condition: {severity: HIGH}, actions: [{type: fax}]}\n", "alert_rules.yaml:2:"),
        ("rules:\n  - {condition: {severity: INFO}, actions: [{type: slack}]}\n", "INFO"),
        ("rules:\n  - {condition: {severity: LOW}, actions: [{type: email, recipients: [a@b.c], digest_interval: often}]}\n", "15min"),
        ("rules:\n  - {condition: {severity: LOW}, actions: [{type: slack}], dedupe: 1}\n", "unknown key 'dedupe'"),
    ],
)
def test_an_alert_rules_file_that_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "alert_rules.yaml"
    file.write_text(text)
    said = trunkline("notify", "import", file)
    assert said.code == 2
    assert told in said.text
