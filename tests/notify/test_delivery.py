"""Delivery: at least once, in order, each channel by itself, over outages of any length (W-140, W-141, W-88)."""

import hashlib
import hmac
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.notify.mail import mail_server
from tests.notify.receivers import HttpReceiver, Post, http_receiver
from tests.notify.support import NOW, SECRETS, SITE, TOPICS, Desk, config, request, until

from trunkline.lab.ports import free_ports
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record
from trunkline.model import times
from trunkline.model.errors import Fenced, Misconfigured, RetryLater
from trunkline.model.notifications import Outcome
from trunkline.sinks.notify.backoff import Backoff
from trunkline.sinks.notify.deliver import Deliverer, Topics


def webhook(receiver: HttpReceiver, name: str = "hook", **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "webhook", "url": receiver.url, "secret": "${KEY}", "timeout_seconds": 0.5, **more}


def ids(posts: list[Post]) -> list[str]:
    return [post.headers["idempotency-key"] for post in posts]


def settled(desk: Desk, number: int) -> None:
    until(lambda: len(desk.deliveries()) >= number, f"delivery {number}")


def test_requests_are_sent_in_order_and_signed(desk: Desk, hook: HttpReceiver) -> None:
    """W-140: a receiver can check who sent it, and tell a repeat by its key."""
    desk.ask(*(request(number) for number in range(20)))
    with desk.delivering(config(webhook(hook))):
        settled(desk, 20)
    assert ids(hook.posts) == [f"r{number}" for number in range(20)]
    post = hook.posts[0]
    assert post.json["severity"] == "CRITICAL"
    assert post.json["site"] == "plant-1"
    stamp = post.headers["x-trunkline-timestamp"]
    assert stamp == str(NOW // times.SECOND)
    wanted = hmac.new(SECRETS["KEY"].encode(), stamp.encode() + b"." + post.body, hashlib.sha256).hexdigest()
    assert post.headers["x-trunkline-signature"] == f"sha256={wanted}"
    assert {one.outcome for one in desk.deliveries()} == {Outcome.DELIVERED}


def test_a_restart_goes_on_where_it_was(desk: Desk, hook: HttpReceiver) -> None:
    notifications = config(webhook(hook))
    desk.ask(request(1))
    with desk.delivering(notifications):
        settled(desk, 1)
    desk.ask(request(2))
    with desk.delivering(notifications):
        settled(desk, 2)
    assert ids(hook.attempts) == ["r1", "r2"]


@pytest.mark.parametrize("fault", [500, 503, 429, 408, "reset", "hang", "trickle"])
def test_what_cannot_be_sent_now_is_sent_later(desk: Desk, hook: HttpReceiver, fault: int | str) -> None:
    """Errors of the server, a cut connection, no answer and one that never ends: nothing is lost, nothing overtakes."""
    hook.script.extend([fault, fault])
    desk.ask(request(1), request(2))
    with desk.delivering(config(webhook(hook))):
        settled(desk, 2)
    assert ids(hook.posts) == ["r1", "r2"]
    assert ids(hook.attempts) == ["r1", "r1", "r1", "r2"]
    assert [one.attempts for one in desk.deliveries()] == [3, 1]


def test_a_channel_that_is_down_holds_up_no_other(desk: Desk, hook: HttpReceiver) -> None:
    with http_receiver() as other:
        hook.up = False
        desk.ask(request(1, channel="hook"), request(2, channel="other"), request(3, channel="hook"), request(4, channel="other"))
        with desk.delivering(config(webhook(hook), webhook(other, "other"))):
            settled(desk, 2)
            assert ids(other.posts) == ["r2", "r4"]
            hook.up = True
            settled(desk, 4)
    assert ids(hook.posts) == ["r1", "r3"]


def test_a_channel_without_its_secret_holds_up_no_other(desk: Desk, hook: HttpReceiver) -> None:
    desk.ask(request(1, channel="broken"), request(2))
    with desk.delivering(config({**webhook(hook, "broken"), "secret": "${NOT_SET}"}, webhook(hook))):
        settled(desk, 1)
    assert ids(hook.attempts) == ["r2"]


def test_what_is_over_before_it_was_told_is_not_told(desk: Desk, hook: HttpReceiver) -> None:
    """Clear cancels what is not sent yet: the trigger, and the resolve that nobody would understand."""
    hook.up = False
    desk.ask(request(0), request(1, key="gone"), request(2, key="stands"), request(3, "acknowledge", key="gone"))
    desk.ask(request(4, "resolve", key="gone"))
    with desk.delivering(config(webhook(hook))):
        until(lambda: len(hook.attempts) >= 2)
        hook.up = True
        settled(desk, 5)
    assert ids(hook.posts) == ["r0", "r2"]
    assert dict(desk.outcomes()) == {
        "r0": "delivered",
        "r1": "superseded",
        "r2": "delivered",
        "r3": "superseded",
        "r4": "superseded",
    }


def test_an_outage_ends_for_an_alarm_that_clears_meanwhile(desk: Desk, hook: HttpReceiver) -> None:
    """What was tried may have arrived in spite of the error: its trigger is dropped, its resolve is sent."""
    hook.up = False
    desk.ask(request(1, key="alarm"))
    with desk.delivering(config(webhook(hook))):
        until(lambda: len(hook.attempts) >= 2)
        desk.ask(request(2, "resolve", key="alarm"))
        settled(desk, 1)
        hook.up = True
        settled(desk, 2)
    assert desk.outcomes() == [("r1", "superseded"), ("r2", "delivered")]
    assert ids(hook.posts) == ["r2"]


def test_a_resolve_of_another_alarm_cancels_nothing(desk: Desk, hook: HttpReceiver) -> None:
    desk.ask(request(1, key="a"), request(2, "resolve", key="b"), request(3, "digest", key="c"), request(4, "resolve", key="c"))
    with desk.delivering(config(webhook(hook))):
        settled(desk, 4)
    assert ids(hook.posts) == ["r1", "r2", "r3", "r4"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_for_good_is_told_and_the_next_goes_on(desk: Desk, hook: HttpReceiver, status: int) -> None:
    hook.script.append(status)
    desk.ask(request(1), request(2))
    with desk.delivering(config(webhook(hook))):
        settled(desk, 2)
    assert desk.outcomes() == [("r1", "refused"), ("r2", "delivered")]
    assert f"HTTP {status}" in desk.deliveries()[0].detail
    (event,) = desk.events()
    assert event.type == "NOTIFICATION_REFUSED"
    assert event.attributes["channel"] == "hook"
    assert event.attributes["request"] == "r1"


def test_redirects_are_not_followed(desk: Desk, hook: HttpReceiver) -> None:
    with http_receiver() as elsewhere:
        hook.script.append((307, {"Location": elsewhere.url}))
        desk.ask(request(1))
        with desk.delivering(config(webhook(hook))):
            settled(desk, 1)
        assert elsewhere.attempts == []
    assert desk.deliveries()[0].outcome is Outcome.REFUSED


def test_what_is_of_no_use_any_more_is_not_sent(desk: Desk, hook: HttpReceiver) -> None:
    desk.ask(request(1, not_after=NOW - 1), request(2, not_after=NOW))
    with desk.delivering(config(webhook(hook))):
        settled(desk, 2)
    assert desk.outcomes() == [("r1", "expired"), ("r2", "delivered")]


def test_damaged_requests_are_passed_over(desk: Desk, hook: HttpReceiver) -> None:
    desk.log.append(TOPICS.requests, [Record(b"\xff poison", b"hook"), Record(b'{"id": 1}', b"hook")])
    desk.ask(request(1))
    with desk.delivering(config(webhook(hook))):
        settled(desk, 1)
    assert ids(hook.posts) == ["r1"]


def test_two_deliverers_of_one_name_do_not_both_deliver(desk: Desk, hook: HttpReceiver) -> None:
    """Whoever took the name over goes on; the one before stops with Fenced."""
    notifications = config(webhook(hook))
    died: list[BaseException] = []

    def run() -> None:
        try:
            desk.deliverer(notifications).run(threading.Event())
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            died.append(error)

    first = threading.Thread(target=run)
    desk.ask(request(1))
    first.start()
    settled(desk, 1)
    with desk.delivering(notifications):
        first.join()
        desk.ask(request(2))
        settled(desk, 2)
    assert isinstance(died[0], Fenced)
    assert ids(hook.attempts) == ["r1", "r2"]


WORKER = Path(__file__).parent / "worker.py"


def _killed(desk: Desk, hook: HttpReceiver, *sabotage: str) -> tuple[set[str], set[str]]:
    """Kill a deliverer in a process of its own with every third request that it sends, before it hears what became of it.

    The receiver has taken r0 and r6 when that happens, and never saw r3. Returns what it never got, and what it got more than once.
    """
    workers: list[subprocess.Popen[bytes]] = []
    seen: Counter[str] = Counter()

    def taking(post: Post) -> bool:
        key = post.headers["idempotency-key"]
        seen[key] += 1
        if key not in ("r0", "r3", "r6") or seen[key] > 1:
            return True
        workers[-1].kill()
        workers[-1].wait()
        return key != "r3"

    hook.taking = taking
    desk.ask(*(request(number) for number in range(9)))
    command = [sys.executable, str(WORKER), str(desk.path), hook.url, *sabotage]
    try:
        for _ in range(3):
            workers.append(subprocess.Popen(command))
            assert workers[-1].wait(30) == -signal.SIGKILL
        workers.append(subprocess.Popen(command))
        until(lambda: "r8" in {one.request for one in desk.deliveries()}, "the last delivery")
    finally:
        workers[-1].terminate()
        workers[-1].wait(30)
    counts = Counter(ids(hook.posts))
    assert list(dict.fromkeys(ids(hook.posts))) == sorted(counts)
    return {f"r{number}" for number in range(9)} - counts.keys(), {key for key, count in counts.items() if count > 1}


def test_kills_between_send_and_commit_lose_nothing(desk: Desk, hook: HttpReceiver) -> None:
    """At least once: what was taken just before a kill comes again under the same key, and nothing else does; order is kept."""
    lost, doubled = _killed(desk, hook)
    assert (lost, doubled) == (set(), {"r0", "r6"})
    same = {key: {post.body for post in hook.posts if post.headers["idempotency-key"] == key} for key in doubled}
    assert all(len(bodies) == 1 for bodies in same.values())
    assert desk.outcomes() == [(f"r{number}", "delivered") for number in range(9)]


def test_the_check_for_loss_catches_a_deliverer_that_commits_first(desk: Desk, hook: HttpReceiver) -> None:
    """The planted defect: a position committed before its request was sent."""
    lost, _ = _killed(desk, hook, "commit-first")
    assert lost == {"r3"}


def test_a_receiver_that_asks_for_a_pause_gets_it(desk: Desk, hook: HttpReceiver) -> None:
    """429 and 503 with Retry-After: the back-off is at least that long."""
    asked: list[float | None] = []

    class Noting(Backoff):
        def failed(self, asked_for: float | None = None) -> float:
            asked.append(asked_for)
            return 0.0

    hook.script.extend([(429, {"Retry-After": "17"}), 500, (503, {"Retry-After": "Fri, 20 Nov 2026 10:00:30 GMT"})])
    desk.ask(request(1))
    with desk.delivering(config(webhook(hook)), backoff=Noting):
        settled(desk, 1)
    assert asked == [17.0, None, 30.0]


def test_waits_grow_to_a_limit_and_are_spread() -> None:
    backoff = Backoff(1.0, 60.0, random.Random(7))
    waits = [backoff.failed() for _ in range(40)]
    assert all(0.5 * min(60, 2**number) <= wait <= min(60, 2**number) for number, wait in enumerate(waits))
    assert len(set(waits)) == 40
    assert backoff.failed(120.0) == 120.0
    backoff.reset()
    assert backoff.failed() <= 1.0


def test_the_log_may_be_away_at_first(desk: Desk, hook: HttpReceiver) -> None:
    away = iter([True, True])

    def open_log() -> Journal:
        if next(away, False):
            raise RetryLater("the disk is full")
        return Journal(desk.path)

    desk.ask(request(1))
    with desk.delivering(config(webhook(hook)), open_log=open_log):
        settled(desk, 1)
    assert ids(hook.posts) == ["r1"]


def test_a_missing_topic_is_told(desk: Desk, hook: HttpReceiver) -> None:
    topics = Topics("nowhere", TOPICS.log, TOPICS.events)
    deliverer = Deliverer(lambda: Journal(desk.path), config(webhook(hook)), topics, SITE, desk.secrets)
    with pytest.raises(Misconfigured, match="nowhere"):
        deliverer.run(threading.Event())


def test_mail_waits_for_its_server(desk: Desk) -> None:
    """A mail server that is not there yet: the mails come when it is, in order."""
    (port,) = free_ports(1)
    mail = {
        "id": "mail",
        "type": "email",
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "sender": "t@a.b",
        "recipients": ["x@a.b"],
    }
    desk.ask(*(request(number, channel="mail") for number in range(3)))
    tried = threading.Event()

    class Noting(Backoff):
        def failed(self, asked_for: float | None = None) -> float:
            tried.set()
            return super().failed(asked_for)

    with desk.delivering(config(mail), backoff=lambda: Noting(0.01, 0.05)):
        assert tried.wait(30)
        with mail_server(port=port) as server:
            settled(desk, 3)
    assert [one.message["Message-ID"] for one in server.mails] == ["<r0@a.b>", "<r1@a.b>", "<r2@a.b>"]


@pytest.mark.parametrize("seed", range(4))
def test_in_any_weather_nothing_is_lost(desk: Desk, seed: int) -> None:
    """Random alarms on two channels, faults and restarts: what is not delivered ended before it could be, and order holds."""
    chance = random.Random(seed)
    asked = []
    for number in range(60):
        kind = chance.choice(["trigger", "trigger", "resolve", "acknowledge", "digest"])
        asked.append(request(number, kind, channel=chance.choice(["a", "b"]), key=f"k{chance.randrange(12)}"))
    with http_receiver() as a, http_receiver() as b:
        receivers = {"a": a, "b": b}
        notifications = config(webhook(a, "a"), webhook(b, "b"))
        for receiver in receivers.values():
            receiver.script.extend(chance.choices([200, 500, 429, "reset"], weights=[6, 2, 1, 1], k=60))
        for start in range(0, 60, 20):
            desk.ask(*asked[start : start + 20])
            with desk.delivering(notifications):
                settled(desk, chance.randrange(start + 1, start + 20))
        with desk.delivering(notifications):
            settled(desk, 60)
        for name, receiver in receivers.items():
            mine = [one.id for one in asked if one.channel == name]
            outcomes = {one.request: one for one in desk.deliveries() if one.channel == name}
            assert list(outcomes) == mine, "every request is settled once, in order"
            came = ids(receiver.posts)
            assert [one for one in mine if outcomes[one].outcome is Outcome.DELIVERED] == list(dict.fromkeys(came))
            for one in asked:
                if one.channel == name and one.id not in came:
                    later = [two for two in asked[asked.index(one) :] if two.channel == name and two.dedup_key == one.dedup_key]
                    assert one.kind.value != "digest"
                    assert any(two.kind.value == "resolve" for two in later), f"{one.id} is lost"


def test_an_incident_that_may_have_been_opened_is_closed(desk: Desk, hook: HttpReceiver) -> None:
    """Killed after the receiver took the trigger; the alarm clears meanwhile: the resolve is sent, though the trigger is not sent again."""
    worker: list[subprocess.Popen[bytes]] = []

    def taking(post: Post) -> bool:
        worker[0].kill()
        worker[0].wait()
        return True

    hook.taking = taking
    desk.ask(request(1, key="alarm"))
    worker.append(subprocess.Popen([sys.executable, str(WORKER), str(desk.path), hook.url]))
    assert worker[0].wait(30) == -signal.SIGKILL
    until(lambda: ids(hook.posts) == ["r1"])
    hook.taking = None
    desk.ask(request(2, "resolve", key="alarm"))
    with desk.delivering(config(webhook(hook))):
        settled(desk, 2)
    assert desk.outcomes() == [("r1", "superseded"), ("r2", "delivered")]
