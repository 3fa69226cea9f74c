"""`trunkline notify` and role `notify`, on a site file and a site log as they are."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.support import trunkline
from tests.notify.alarms import transition
from tests.notify.receivers import HttpReceiver
from tests.notify.support import request, until

from trunkline.config.loading import load
from trunkline.log.codec.events import encode_event
from trunkline.log.codec.notifications import encode_request
from trunkline.log.following import read_last
from trunkline.log.opening import layout_of, open_site_journal
from trunkline.log.port import Record
from trunkline.model.reading import Category
from trunkline.supervisor.supervisor import role_commands

SITE = """site: plant-1
title: Plant 1
timezone: Europe/Oslo
notifications:
  people: [{{id: north, email: north@example.com}}]
  rotas: [{{id: ops, start: 2026-01-05, weeks: [{{all: [north]}}]}}]
  channels:
    - {{id: hook, type: webhook, url: "{url}", secret: "${{secret:hook-key}}", timeout_seconds: 2}}
    - {{id: pd, type: pagerduty, url: "{url}", integration_key: "${{secret:hook-key}}"}}
    - {{id: mail, type: email, host: smtp.example.com, sender: t@example.com, recipients: [all@example.com]}}
    - {{id: oncall_manager, type: slack, url: "${{secret:hook-key}}"}}
  rules:
    - {{id: bad, severity: [CRITICAL, HIGH], channels: [hook, mail], rota: ops}}
    - {{id: area, severity: [MEDIUM, LOW], assets: [P.A.**], channels: [mail], digest_seconds: 900}}
"""
KEY = "a-key-of-the-tests"


@pytest.fixture
def site(tmp_path: Path, hook: HttpReceiver) -> Path:
    file = tmp_path / "site.yaml"
    file.write_text(SITE.format(url=hook.url))
    load(file).secrets.put("hook-key", KEY)
    return file


def test_who_would_be_told(site: Path) -> None:
    """W-140: channels, the people on duty then, and the escalation."""
    said = trunkline("notify", "who", site, "--severity", "critical", "--at", "2026-12-24T23:00+01:00", "--json")
    assert said.code == 0
    *told, summary = said.documents
    assert [(one["channel"], one["receivers"], one["when"]) for one in told] == [
        ("hook", ["north"], "at once"),
        ("mail", ["north <north@example.com>"], "at once"),
        ("oncall_manager", [], "after 15 min, unless acknowledged"),
    ]
    assert summary == {"told": 3, "at": "2026-12-24T22:00:00.000000Z", "passed": True}
    said = trunkline("notify", "who", site, "--severity", "LOW", "--asset", "P.A.U")
    assert "all@example.com" in said.text
    assert "every 15 min" in said.text
    nobody = trunkline("notify", "who", site, "--severity", "LOW", "--asset", "P.B")
    assert (nobody.code, nobody.text) == (1, "nobody would be told")
    assert "known are" in trunkline("notify", "who", site, "--severity", "INFO").text


def test_why_a_rule_fits_or_not(site: Path) -> None:
    said = trunkline("notify", "route", site, "--severity", "LOW", "--asset", "P.B", "--json")
    assert said.code == 1
    assert [(one["rule"], one["why_not"]) for one in said.documents[:-1]] == [("bad", "severity"), ("area", "assets")]
    assert "1 of 2 rules fit" in trunkline("notify", "route", site, "--severity", "HIGH").text


def test_a_channel_is_tested(site: Path, hook: HttpReceiver) -> None:
    assert "sent by hook: HTTP 200" in trunkline("notify", "test", site, "hook").text
    assert trunkline("notify", "test", site, "pd", "--json").documents == [
        {"channel": "pd", "sent": True, "detail": "HTTP 200: ok", "passed": True}
    ]
    assert [post.json.get("event_action") for post in hook.posts] == [None, "trigger", "resolve"]
    hook.script.extend([403, 503])
    assert trunkline("notify", "test", site, "hook").code == 1
    assert trunkline("notify", "test", site, "hook").code == 3
    unknown = trunkline("notify", "test", site, "hok")
    assert unknown.code == 2
    assert "did you mean 'hook'?" in unknown.text


def test_the_role_delivers_and_the_log_tells(site: Path, hook: HttpReceiver) -> None:
    """The role as the supervisor starts it: it sends, writes the delivery log, stops in order, and shows no secret."""
    loaded = load(site)
    journal = open_site_journal(loaded.config.log, loaded.data_dir)
    layout = layout_of(loaded.config.log)
    requests, deliveries = layout.notifications, layout.deliveries
    hook.script.append(404)
    hook.body = f"no such key: {KEY}".encode()
    journal.append(requests, [encode_request(request(1)), encode_request(request(2))])
    assert role_commands(loaded)["notify"][-2:] == ["notify", str(site)]
    command = [sys.executable, "-m", "trunkline.cli.entry", "run", "notify", str(site)]
    role = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        until(lambda: len(read_last(journal, journal.bounds(deliveries), 10, lambda _: True)) == 2, "the delivery log")
        role.send_signal(signal.SIGTERM)
        out, _ = role.communicate(timeout=30)
    finally:
        role.kill()
        role.wait()
        journal.close()
    assert role.returncode == 0, out
    assert KEY not in out
    said = trunkline("notify", "log", site, "--json")
    assert [(one["request"], one["outcome"]) for one in said.documents[:-1]] == [("r1", "refused"), ("r2", "delivered")]
    assert [one["request"] for one in trunkline("notify", "log", site, "--outcome", "refused", "--json").documents[:-1]] == ["r1"]
    assert "no such key: ***" in trunkline("notify", "log", site).text
    assert KEY not in said.out


def test_an_alarm_of_the_log_is_told(site: Path, hook: HttpReceiver) -> None:
    """W-140: both halves of the role: a transition on the topic of clean alarms arrives at the receiver."""
    loaded = load(site)
    journal = open_site_journal(loaded.config.log, loaded.data_dir)
    (topic,) = layout_of(loaded.config.log).topics(Category.ALARM, "clean")
    journal.append(topic, [Record(encode_event(transition("occurrence", severity="HIGH")), b"k")])
    command = [sys.executable, "-m", "trunkline.cli.entry", "run", "notify", str(site)]
    role = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        until(lambda: len(hook.posts) == 1, "the message")
        role.send_signal(signal.SIGTERM)
        out, _ = role.communicate(timeout=30)
    finally:
        role.kill()
        role.wait()
        journal.close()
    assert role.returncode == 0, out
    assert (hook.posts[0].json["dedup_key"], hook.posts[0].json["people"]) == ("occurrence", ["north"])


def test_a_site_without_channels_has_no_such_role(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("site: plant-1\n")
    assert "notify" not in role_commands(load(file))
