"""What each kind of channel sends, to real receivers on loopback."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.notify.mail import MailServer, mail_server
from tests.notify.receivers import HttpReceiver, http_receiver
from tests.notify.support import NOW, SECRETS, SITE, config, request

from trunkline.config.secrets import SecretStore
from trunkline.model import times
from trunkline.model.errors import Misconfigured, Rejected
from trunkline.model.events import AlarmSeverity
from trunkline.model.notifications import Item
from trunkline.sinks.notify.http import wait_seconds
from trunkline.sinks.notify.making import make_sender
from trunkline.sinks.notify.port import NotNow, Sender
from trunkline.sources.mqtt.tests.certificates import Authority

ITEMS = (
    Item(occurrence="a", severity=AlarmSeverity.MEDIUM, time=NOW, text="HIGH_FLOW <b>P.A</b>"),
    Item(occurrence="b", severity=AlarmSeverity.LOW, time=NOW, text="LOW_FLOW P.B"),
)
PEOPLE = [
    {"id": "north", "email": "north@example.com", "phone": "+47 11 11 11 11"},
    {"id": "south", "email": "south@example.com", "phone": "+4722222222"},
    {"id": "desk"},
]


def sender(folder: Path, secrets: dict[str, str] | None = None, **channel: Any) -> Sender:
    notifications = config({"id": "one", "timeout_seconds": 2, **channel}, people=PEOPLE)
    return make_sender(notifications.channels[0], notifications, SITE, SecretStore(folder, folder, {**SECRETS, **(secrets or {})}))


# ---------------------------------------------------------------------- PagerDuty


def test_an_alarm_is_one_incident_at_pagerduty(tmp_path: Path, hook: HttpReceiver) -> None:
    """W-88, W-141: Events API v2; trigger, acknowledge and resolve share the dedup_key."""
    pd = sender(tmp_path, type="pagerduty", integration_key="${KEY}", url=hook.url)
    hook.script.extend([202, 202, 202])
    for kind in ("trigger", "acknowledge", "resolve"):
        pd.send(request(1, kind, key="occurrence"), NOW)
    trigger, acknowledge, resolve = (post.json for post in hook.posts)
    assert [one["event_action"] for one in (trigger, acknowledge, resolve)] == ["trigger", "acknowledge", "resolve"]
    assert {one["dedup_key"] for one in (trigger, acknowledge, resolve)} == {"occurrence"}
    assert {one["routing_key"] for one in (trigger, acknowledge, resolve)} == {SECRETS["KEY"]}
    payload = trigger["payload"]
    assert isinstance(payload, dict)
    assert payload["severity"] == "critical"
    assert payload["summary"] == "Plant 1: subject 1"
    assert payload["timestamp"] == times.to_iso(NOW)
    assert payload["class"] == "HIGH_FLOW"


@pytest.mark.parametrize(("severity", "word"), [("CRITICAL", "critical"), ("HIGH", "error"), ("MEDIUM", "warning"), ("LOW", "info")])
def test_severities_in_the_words_of_pagerduty(tmp_path: Path, hook: HttpReceiver, severity: str, word: str) -> None:
    pd = sender(tmp_path, type="pagerduty", integration_key="${KEY}", url=hook.url)
    pd.send(request(1, "storm", severity=AlarmSeverity[severity], subject="x" * 3000), NOW)
    payload = hook.posts[0].json["payload"]
    assert isinstance(payload, dict)
    assert payload["severity"] == word
    assert len(payload["summary"]) == 1024


# ---------------------------------------------------------------------- Slack


def test_slack_gets_text_that_mentions_nobody(tmp_path: Path, hook: HttpReceiver) -> None:
    """W-142; text of devices cannot call a channel or forge a link."""
    slack = sender(tmp_path, {"SLACK_URL": hook.url}, type="slack", url="${SLACK_URL}", channel="#alerts")
    slack.send(request(1, subject="<!channel> & <http://x|y>"), NOW)
    message = hook.posts[0].json
    assert message["channel"] == "#alerts"
    assert message["text"] == "Plant 1: &lt;!channel&gt; &amp; &lt;http://x|y&gt;"
    assert "<!" not in str(message)


def test_no_part_of_a_secret_address_is_shown(tmp_path: Path) -> None:
    """D-42, D-43: the address of Slack's webhook is the credential."""
    url = "http://127.0.0.1:9/services/T000/B000/SECRETTOKEN"
    slack = sender(tmp_path, {"SLACK_URL": url}, type="slack", url="${SLACK_URL}")
    with pytest.raises(NotNow) as away:
        slack.send(request(1), NOW)
    assert "127.0.0.1" in str(away.value)
    assert "T000" not in str(away.value)
    with pytest.raises(Misconfigured) as wrong:
        sender(tmp_path, {"SLACK_URL": "ftp://hooks/SECRETTOKEN"}, type="slack", url="${SLACK_URL}")
    assert "SECRETTOKEN" not in str(wrong.value)


@pytest.mark.parametrize(
    "url", ["http://example.com/x", "https://user:pw@example.com", "file:///etc/passwd", "https://", "x", "http://127.0.0.1:0/"]
)
def test_addresses_that_nothing_is_sent_to(tmp_path: Path, url: str) -> None:
    with pytest.raises(Misconfigured, match="url"):
        sender(tmp_path, {"URL": url}, type="webhook", url="${URL}", secret="${KEY}")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("Fri, 20 Nov 2026 10:00:30 GMT", 30.0),
        ("Fri, 20 Nov 2026 09:00:00 GMT", 0.0),
        ("99999999", 3600.0),
        ("soon", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str | None, seconds: float | None) -> None:
    assert wait_seconds(text, NOW) == seconds


def test_the_wait_that_a_receiver_asks_for_is_told(tmp_path: Path, hook: HttpReceiver) -> None:
    hook.script.append((429, {"Retry-After": "17"}))
    with pytest.raises(NotNow) as later:
        sender(tmp_path, type="webhook", url=hook.url, secret="${KEY}").send(request(1), NOW)
    assert later.value.after_seconds == 17.0


def test_a_receiver_with_tls_is_who_it_says(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path, "authority")
    with http_receiver(authority.issue("hook")) as hook:
        sender(tmp_path, type="webhook", url=hook.url, secret="${KEY}", ca="authority.pem").send(request(1), NOW)
        with pytest.raises(NotNow, match="CERTIFICATE_VERIFY_FAILED"):
            sender(tmp_path, type="webhook", url=hook.url, secret="${KEY}").send(request(2), NOW)
    with http_receiver(authority.issue("other", "192.0.2.1")) as other, pytest.raises(NotNow, match="CERTIFICATE_VERIFY_FAILED"):
        sender(tmp_path, type="webhook", url=other.url, secret="${KEY}", ca="authority.pem").send(request(3), NOW)
    assert [post.headers["idempotency-key"] for post in hook.posts + other.posts] == ["r1"]
    with pytest.raises(Misconfigured, match=r"missing\.pem"):
        sender(tmp_path, type="webhook", url=hook.url, secret="${KEY}", ca="missing.pem")


# ---------------------------------------------------------------------- e-mail


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


def mailer(folder: Path, server: MailServer, secrets: dict[str, str] | None = None, **more: Any) -> Sender:
    given = {"host": "127.0.0.1", "port": server.port, "sender": "t@example.com", "security": "none", "recipients": ["all@example.com"]}
    return sender(folder, secrets, type="email", **{**given, **more})


def test_a_digest_is_plain_text_and_html(tmp_path: Path, mail: MailServer) -> None:
    """W-143."""
    mailer(tmp_path, mail).send(request(1, "digest", subject="Alarms: 1 MEDIUM, 1 LOW", text="two lines", items=ITEMS), NOW)
    (came,) = mail.mails
    assert came.recipients == ["all@example.com"]
    assert came.message["Subject"] == "[Plant 1] Alarms: 1 MEDIUM, 1 LOW"
    assert came.message["Message-ID"] == "<r1@example.com>"
    plain, page = came.message.get_body(("plain",)), came.message.get_body(("html",))
    assert plain is not None
    assert page is not None
    assert "two lines" in plain.get_content()
    assert "HIGH_FLOW &lt;b&gt;P.A&lt;/b&gt;" in page.get_content()


def test_mail_goes_to_the_people_on_duty(tmp_path: Path, mail: MailServer) -> None:
    mailer(tmp_path, mail).send(request(1, people=("north", "south", "desk")), NOW)
    mailer(tmp_path, mail).send(request(2, people=("desk",)), NOW)
    assert [one.recipients for one in mail.mails] == [["north@example.com", "south@example.com"], ["all@example.com"]]
    with pytest.raises(Rejected, match="recipients"):
        mailer(tmp_path, mail, recipients=[]).send(request(3), NOW)


@pytest.mark.parametrize(("answer", "error"), [("451 busy", NotNow), ("554 no", Rejected)])
def test_what_a_mail_server_answers(tmp_path: Path, mail: MailServer, answer: str, error: type[Exception]) -> None:
    mail.answers.append(answer)
    with pytest.raises(error, match=answer):
        mailer(tmp_path, mail).send(request(1), NOW)
    assert mail.mails == []


def test_recipients_that_wait_are_tried_again_and_others_are_not(tmp_path: Path, mail: MailServer) -> None:
    mail.refuse = {"south@example.com": "450 grey"}
    to_people = mailer(tmp_path, mail)
    with pytest.raises(NotNow):
        to_people.send(request(1, people=("north", "south")), NOW)
    to_people.send(request(1, people=("north", "south")), NOW)
    assert [one.recipients for one in mail.mails] == [["north@example.com"], ["south@example.com"]]
    mail.refuse = {"south@example.com": "550 unknown"}
    assert to_people.send(request(2, people=("north", "south")), NOW) == "accepted for 1 of 2 recipients"
    mail.refuse = {"all@example.com": "550 unknown"}
    with pytest.raises(Rejected, match="550"):
        mailer(tmp_path, mail).send(request(3), NOW)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_is_encrypted_and_the_server_is_who_it_says(tmp_path: Path, security: str) -> None:
    authority = Authority.make(tmp_path, "authority")
    with mail_server(authority.issue("mail"), starttls=security == "starttls") as server:
        server.users["trunkline"] = "pass-word"
        account = {"username": "trunkline", "password": "${MAIL_PASSWORD}", "security": security}
        trusting = mailer(tmp_path, server, {"MAIL_PASSWORD": "pass-word"}, ca=authority.file.name, **account)
        trusting.send(request(1), NOW)
        (came,) = server.mails
        assert (came.encrypted, came.user) == (True, "trunkline")
        with pytest.raises(NotNow, match="CERTIFICATE_VERIFY_FAILED"):
            mailer(tmp_path, server, {"MAIL_PASSWORD": "pass-word"}, **account).send(request(2), NOW)
        with pytest.raises(NotNow, match="check the password") as wrong:
            mailer(tmp_path, server, {"MAIL_PASSWORD": "wrong-word"}, ca=authority.file.name, **account).send(request(3), NOW)
        assert "wrong-word" not in str(wrong.value)
        assert len(server.mails) == 1


def test_nothing_is_sent_to_a_server_that_does_not_encrypt(tmp_path: Path, mail: MailServer) -> None:
    with pytest.raises(NotNow, match="STARTTLS"):
        mailer(tmp_path, mail, security="starttls").send(request(1), NOW)
    assert mail.mails == []


def test_a_mail_server_that_is_away_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(NotNow, match="away"):
        mailer(tmp_path, MailServer(9)).send(request(1), NOW)


# ---------------------------------------------------------------------- SMS, voice and others by Apprise: its own JSON service stands in


def test_every_phone_is_called_by_itself(tmp_path: Path, hook: HttpReceiver) -> None:
    """W-141: `sms` with `phone_numbers`. Apprise's JSON service is the provider here: no real one can be reached."""
    url = hook.url.replace("http", "json")
    sms = sender(tmp_path, {"SMS": url}, type="sms", url="${SMS}", phone_numbers=["+47 33333333"])
    assert sms.send(request(1, people=("north", "south")), NOW) == "accepted for 2 of 2 numbers"
    sms.send(request(2), NOW)
    assert [post.path.removeprefix("/hook") for post in hook.posts] == ["/+4711111111", "/+4722222222", "/+4733333333"]
    assert hook.posts[0].json["message"] == "Plant 1: subject 1"


def test_a_phone_that_was_reached_is_not_called_again(tmp_path: Path, hook: HttpReceiver) -> None:
    sms = sender(tmp_path, {"SMS": hook.url.replace("http", "json")}, type="sms", url="${SMS}")
    hook.script.extend([200, 500])
    with pytest.raises(NotNow, match="HTTP 500"):
        sms.send(request(1, people=("north", "south")), NOW)
    sms.send(request(1, people=("north", "south")), NOW)
    assert [post.path[-2:] for post in hook.posts] == ["11", "22"]


def test_apprise_refusals_and_redirects(tmp_path: Path, hook: HttpReceiver) -> None:
    with http_receiver() as elsewhere:
        other = sender(tmp_path, {"URL": hook.url.replace("http", "json")}, type="apprise", url="${URL}")
        hook.script.extend([403, (307, {"Location": elsewhere.url})])
        with pytest.raises(Rejected, match="HTTP 403"):
            other.send(request(1), NOW)
        with pytest.raises(Rejected, match="HTTP 307"):
            other.send(request(1), NOW)
        assert elsewhere.attempts == []
    with pytest.raises(NotNow):
        sender(tmp_path, {"URL": "json://127.0.0.1:9/"}, type="apprise", url="${URL}").send(request(1), NOW)
    with pytest.raises(Misconfigured, match="Apprise"):
        sender(tmp_path, {"URL": "nothing-known://x"}, type="apprise", url="${URL}")
