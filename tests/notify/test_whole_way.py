"""From alarm records in a log to what receivers got, with kills at every joint (W-88, W-140 to W-145).

The router's runtime is stood in for by a loop that commits input positions, requests and entries in one step, as the step runtime does, and
that is killed before every third commit; the log, the deliverer and the receivers are the real ones.
"""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.notify.alarms import NOW, transition
from tests.notify.receivers import HttpReceiver
from tests.notify.support import TOPICS, Desk, config, until

from trunkline.log.codec.events import decode_event, encode_event
from trunkline.log.codec.notifications import encode_request
from trunkline.log.port import Record, Topic, TopicPartition
from trunkline.model import times
from trunkline.model.events import Alarm
from trunkline.processing.notify.router import Router

ALARMS = TopicPartition("alarms.clean", 0)
END = NOW + times.HOUR


def course(chance: random.Random) -> list[Alarm]:
    """Alarms of twenty units over ten minutes; each rises, most are acknowledged or clear, some come again."""
    found: list[Alarm] = []
    for number in range(60):
        at = chance.uniform(0, 600)
        place: dict[str, Any] = {"tag": f"PLANT01.AREA02.UNIT_{number % 20:02}.FLOW", "severity": chance.choice(["CRITICAL", "HIGH"])}
        found.append(transition(f"o{number}", at=at, **place))
        for state in chance.choice([[], ["ACKNOWLEDGED"], ["CLEARED"], ["ACKNOWLEDGED", "CLEARED"]]):
            at += chance.uniform(1, 300)
            found.append(transition(f"o{number}", state, at=at, **place))
    return sorted(found, key=lambda alarm: alarm.time)


def route(desk: Desk, router_config: Any, chance: random.Random) -> None:
    """Run the router over the log until an hour after the start, with kills between its work and its commit."""
    kept: dict[str, bytes] = {}
    now = NOW
    while now < END:
        router = Router(router_config, "UTC")
        router.restore(kept)
        with desk.log.consumer("notify-router", [ALARMS.topic], "router-0", appends=[TOPICS.requests]) as consumer:
            for _ in range(20):
                now += 5 * times.SECOND
                batch = consumer.poll(4, 0.0)
                alarms = [alarm for one in batch.records if isinstance(alarm := decode_event(one.value), Alarm)]
                requests = router.evaluate(alarms, now)
                if chance.random() < 1 / 3:
                    break  # killed: what it asked for was never committed
                consumer.commit(batch.positions, with_appends={TOPICS.requests: [encode_request(one) for one in requests]})
                for name, entry in router.changed().items():
                    if entry is None:
                        kept.pop(name, None)
                    else:
                        kept[name] = entry


@pytest.mark.parametrize("seed", range(3))
def test_whoever_has_to_know_is_told(desk: Desk, hook: HttpReceiver, seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    hook.script.extend(chance.choices([200, 500, 429, "reset"], weights=[6, 2, 1, 1], k=100))
    channel = {"id": "hook", "type": "webhook", "url": hook.url, "secret": "${KEY}", "timeout_seconds": 2}
    everything = [{"id": "all", "channels": ["hook"]}]
    notifications = config(channel, rules=everything, escalation={"channels": []}, storm={"per_minute": 5, "critical_per_minute": 8})
    desk.log.create([Topic(ALARMS.topic)])
    alarms = course(chance)
    desk.log.append(ALARMS.topic, [Record(encode_event(alarm), b"k") for alarm in alarms])
    route(desk, notifications, chance)
    asked = sum(end for _, end in desk.log.bounds(TOPICS.requests).values())
    with desk.delivering(notifications):
        until(lambda: len(desk.deliveries()) == asked, "the last delivery")

    told: set[str] = set()
    counts = Counter(post.headers["idempotency-key"] for post in hook.posts)
    for post in hook.posts:
        items: Any = post.json["items"]
        told |= {one["occurrence"] for one in items} | {str(post.json["dedup_key"])}
    last = {alarm.correlation_id: alarm.attributes["gateway_state"] for alarm in alarms}
    standing = {occurrence for occurrence, state in last.items() if state == "ACTIVE"}
    assert len(standing) > 5
    assert standing <= told, "an alarm stands, and nobody was told"
    assert set(counts.values()) == {1}, "no restart of the deliverer, so nothing comes twice"
    ends: list[Any] = [post.json for post in hook.posts if post.json["kind"] == "resolve"]
    assert {end["dedup_key"] for end in ends}.isdisjoint(standing)
    assert len({(post.json["kind"], post.json["dedup_key"]) for post in hook.posts}) == len(hook.posts)
