"""Section `notifications` of the site file: what is refused, with line and mend; rotas by the clock on the wall."""

from pathlib import Path

import pytest
from tests.cli.support import trunkline

from trunkline.config.loading import check
from trunkline.config.notifications import NotificationsConfig
from trunkline.config.problems import errors
from trunkline.config.rotas import Rota
from trunkline.config.secrets import SecretStore, SecretUnavailable, references
from trunkline.model import times

HEAD = """site: plant-1
notifications:
  channels:
    - {id: pd, type: pagerduty, integration_key: "${KEY}"}
    - {id: sms, type: sms, url: "${KEY}", phone_numbers: ["+4712345678"]}
    - {id: oncall_manager, type: slack, url: "${KEY}"}
"""
ALL = "    - {id: all, channels: [pd]}\n"
OVERRIDES = "  people: [{id: a}]\n  rotas: [{id: o, start: 2026-01-05, weeks: [{all: [a]}], overrides: [\n"

WRONG = {
    "a key in the file": ("    - {id: a, type: pagerduty, integration_key: R0SECRET}\n", 7, "write '${secret:NAME}'"),
    "a webhook's address in the file": (
        "    - {id: a, type: slack, url: https://hooks.slack.com/T0/B0/SECRET}\n",
        7,
        "write '${secret:NAME}'",
    ),
    "plain http": ('    - {id: a, type: webhook, url: "http://example.com/x", secret: "${KEY}"}\n', 7, "use 'https://'"),
    "a password in an address": ('    - {id: a, type: webhook, url: "https://u:SECRET@example.com", secret: "${KEY}"}\n', 7, "no password"),
    "mail in plain text": ("    - {id: a, type: email, host: mail.example.com, sender: a@b.c, security: none}\n", 7, "starttls"),
    "half an account": ("    - {id: a, type: email, host: mail.example.com, sender: a@b.c, username: x}\n", 7, "both or neither"),
    "a kind": ("    - {id: a, type: fax}\n", 7, "known are"),
    "an id twice": ('    - {id: pd, type: slack, url: "${KEY}"}\n', 3, "two of the channels have the id 'pd'"),
    "nobody to call": ('    - {id: a, type: voice, url: "${KEY}"}\n  rules:\n    - {id: r, channels: [a]}\n', 7, "add 'phone_numbers:'"),
    "INFO": ("  rules:\n    - {id: r, channels: [pd], severity: INFO}\n", 8, "INFO is shown on the page"),
    "a channel": ("  rules:\n    - {id: r, channels: [pdd]}\n", 8, "did you mean 'pd'?"),
    "a person": (f"  rules:\n{ALL}    - {{id: r, channels: [pd], people: [north]}}\n", 9, "there is no person 'north'"),
    "a rota": (f"  rules:\n{ALL}    - {{id: r, channels: [pd], rota: ops}}\n", 9, "there is no rota 'ops'"),
    "a pattern": (f"  rules:\n{ALL}    - {{id: r, channels: [pd], assets: ['plant']}}\n", 9, "must be A-Z"),
    "an hour": (f"  rules:\n{ALL}    - {{id: r, channels: [pd], hours: {{start: '25:00'}}}}\n", 9, "'HH:MM'"),
    "a shift": ("  people: [{id: a}]\n  rotas: [{id: o, start: 2026-01-05, weeks: [{day: [a]}]}]\n", 8, "there is no shift 'day'"),
    "somebody on duty": ("  rotas: [{id: o, start: 2026-01-05, weeks: [{all: [a]}]}]\n", 7, "there is no person 'a'"),
    "a zone": ("  rotas: [{id: o, start: 2026-01-05, timezone: Mars/X, weeks: [{all: []}]}]\n", 7, "unknown time zone"),
    "an override": (
        f"{OVERRIDES}    {{start: 2026-01-02T00:00, end: 2026-01-01T00:00, people: [a]}}]}}]\n",
        9,
        "'start' must be before 'end'",
    ),
    "the escalation's channel": ("  escalation: {channels: [boss]}\n", 7, "there is no channel 'boss'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D-43: secrets by reference only; every problem has its line, and no value of a secret is shown."""
    monkeypatch.setenv("KEY", "0123456789")
    section, line, words = WRONG[name]
    file = tmp_path / "site.yaml"
    file.write_text(HEAD + section)
    found = errors(check(file))
    told = [problem for problem in found if words in f"{problem.message}: {problem.mend}"]
    assert [problem.line for problem in told] == [line], found
    assert "SECRET" not in str(found)
    assert trunkline("check", file).code == 1


def test_what_is_odd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alarms that nobody would hear of, escalations that go nowhere, people whom a channel cannot reach, patterns that fit nothing."""
    monkeypatch.setenv("KEY", "0123456789")
    file = tmp_path / "site.yaml"
    file.write_text(
        """site: plant-1
gateways: [{id: g, sources: [{id: s, type: simulated, tags: [{path: P.A.T}]}]}]
notifications:
  people: [{id: north}]
  channels:
    - {id: sms, type: sms, url: "${KEY}", phone_numbers: ["+4712345678"]}
  rules:
    - {id: r, channels: [sms], severity: [CRITICAL, HIGH], people: [north], assets: [P.B]}
"""
    )
    told = " | ".join(problem.message for problem in check(file))
    for words in (
        "tells anybody of MEDIUM",
        "tells anybody of LOW",
        "no channel 'oncall_manager'",
        "'north' has no phone",
        "P.B fits none",
    ):
        assert words in told


def test_placeholders_of_the_environment_are_references(tmp_path: Path) -> None:
    """D-43: `${PAGERDUTY_KEY}` is `${env:PAGERDUTY_KEY}`, also in the middle of a text."""
    store = SecretStore(tmp_path, tmp_path, {"PAGERDUTY_KEY": "s3cret-value"})
    assert references("a ${PAGERDUTY_KEY} b ${secret:x}") == ["${PAGERDUTY_KEY}", "${secret:x}"]
    assert store.resolve("a/${PAGERDUTY_KEY}/${env:PAGERDUTY_KEY}") == "a/s3cret-value/s3cret-value"
    assert store.redact("failed with s3cret-value") == "failed with ***"
    assert references("$PAGERDUTY_KEY ${pagerduty} ${}") == []
    with pytest.raises(SecretUnavailable, match="NOT_SET"):
        store.resolve("${NOT_SET}")


def rota(**more: object) -> Rota:
    shifts = [{"name": "day", "start": "06:00", "end": "18:00"}, {"name": "night", "start": "18:00", "end": "06:00"}]
    weeks = [{"day": ["north"], "night": ["south"]}, {"day": ["south"], "night": ["north"]}]
    return Rota.model_validate({"id": "ops", "start": "2026-01-05", "shifts": shifts, "weeks": weeks, **more})


@pytest.mark.parametrize(
    ("at", "wanted"),
    [
        ("2026-01-05T05:59:59Z", ("north",)),  # the night before the first week, by the week before: weeks go round both ways
        ("2026-01-05T06:00:00Z", ("north",)),
        ("2026-01-05T17:59:59Z", ("north",)),
        ("2026-01-05T18:00:00Z", ("south",)),
        ("2026-01-12T05:59:59Z", ("south",)),  # Sunday's night belongs to the week in which it began
        ("2026-01-12T06:00:00Z", ("south",)),
        ("2026-01-12T18:00:00Z", ("north",)),
        ("2026-01-19T06:00:00Z", ("north",)),
    ],
)
def test_shifts_and_weeks(at: str, wanted: tuple[str, ...]) -> None:
    assert rota().on_duty(times.from_iso(at), "UTC") == wanted


def test_shifts_are_by_the_clock_on_the_wall() -> None:
    """Oslo is an hour ahead in winter, two in summer: 06:00 there is another moment, the shift is the same."""
    assert rota().on_duty(times.from_iso("2026-01-05T05:00:00Z"), "Europe/Oslo") == ("north",)
    assert rota().on_duty(times.from_iso("2026-03-30T04:00:00Z"), "Europe/Oslo") == ("north",)
    assert rota().on_duty(times.from_iso("2026-03-30T03:59:59Z"), "Europe/Oslo") == ("north",)
    assert rota().on_duty(times.from_iso("2026-04-06T03:59:59Z"), "Europe/Oslo") == ("south",)
    own = rota(timezone="Asia/Tokyo")
    assert own.on_duty(times.from_iso("2026-01-05T08:59:59Z"), "Europe/Oslo") == ("north",)
    assert own.on_duty(times.from_iso("2026-01-05T09:00:00Z"), "Europe/Oslo") == ("south",)


def test_overrides_and_handover() -> None:
    swap = [{"start": "2026-01-06T06:00", "end": "2026-01-06T18:00", "people": ["chief"]}]
    given = rota(overrides=swap, handover_minutes=30)
    assert given.on_duty(times.from_iso("2026-01-06T05:00:00Z"), "Europe/Oslo") == ("chief", "south")
    assert given.on_duty(times.from_iso("2026-01-06T05:30:00Z"), "Europe/Oslo") == ("chief",)
    assert given.on_duty(times.from_iso("2026-01-06T17:00:00Z"), "Europe/Oslo") == ("south", "chief")
    assert given.on_duty(times.from_iso("2026-01-06T17:30:00Z"), "Europe/Oslo") == ("south",)


def test_nobody_is_told_without_channels() -> None:
    assert NotificationsConfig().routes == ()
