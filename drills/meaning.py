"""The drill of what is made of readings: alarms, notifications and rollups while their roles are killed.

The drill itself writes raw telemetry to a script: tags that go over their limit and back, each time at a known microsecond, and tags that
wander, some of whose readings come up to two days late. Roles are killed with SIGKILL. Then everything is compared with the script:
every transition once and in order, a request and an outcome for every alarm that was to be told, every bucket of every statistic
computed again by SQL.
"""

import http.server
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import psycopg
import yaml

from drills.stage import Stage, say
from trunkline.config.loading import Site, load
from trunkline.historian.rollup.check import check as recompute
from trunkline.log.codec.event_records import decode_event_record
from trunkline.log.codec.notifications import decode_delivery, decode_request
from trunkline.log.codec.registry import RegistryClient
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.opening import layout_of
from trunkline.log.port import Log, StoredRecord
from trunkline.model import times
from trunkline.model.alarms import Lifecycle, Trigger
from trunkline.model.errors import RetryLater
from trunkline.model.notifications import Outcome, RequestKind
from trunkline.model.reading import Category, Kind, Reading
from trunkline.supervisor.wiring import conninfo, embedded_server, site_log

LONG: Final = {"alarm_tags": 50, "excursions": 10_000, "kills": 20, "pause": 5.0}
SHORT: Final = {"alarm_tags": 20, "excursions": 400, "kills": 6, "pause": 2.5}
#: Seconds between two values of an alarm tag, and its limits.
_BEAT: Final = 0.25
_HIGH, _LOW, _LIMIT = 150.0, 50.0, 100.0
_LEVELS: Final = 20
_LATE_SHARE: Final = 0.05
_SECRET: Final = "TRUNKLINE_DRILL_HOOK"
_SETTLE_SECONDS: Final = 240.0
_LOOK_SECONDS: Final = 0.5
#: Roles that are killed; for the database the server itself.
_VICTIMS: Final = ("worker", "evaluate", "notify", "historian", "database")


def run(*, seed: int, short: bool, keep: str | None) -> dict[str, Any]:
    """Kill and compare."""
    return _drill(seed=seed, short=short, keep=keep, sabotage=None)


def run_forgetful(*, seed: int, short: bool, keep: str | None) -> dict[str, Any]:
    """The same with an alarm step that leaves lives to checkpoints: passes only if the checker notices."""
    return _drill(seed=seed, short=short, keep=keep, sabotage="lives-in-checkpoints")


def run_untold(*, seed: int, short: bool, keep: str | None) -> dict[str, Any]:
    """The same with channels that commit before they send: passes only if the checker notices."""
    return _drill(seed=seed, short=short, keep=keep, sabotage="commit-before-send")


def run_unmarked(*, seed: int, short: bool, keep: str | None) -> dict[str, Any]:
    """The same with a historian that marks no rollup for late readings: passes only if the checker notices."""
    return _drill(seed=seed, short=short, keep=keep, sabotage="late-unmarked")


#: Which role each planted defect is in.
_WHERE: Final = {"lives-in-checkpoints": "evaluate", "commit-before-send": "notify", "late-unmarked": "historian"}


def _drill(*, seed: int, short: bool, keep: str | None, sabotage: str | None) -> dict[str, Any]:
    size = SHORT if short or sabotage else LONG
    started = time.monotonic()
    with (
        nullcontext(keep) if keep else tempfile.TemporaryDirectory(prefix="trunkline-drill-") as folder,
        _receiver() as receiver,
        _stage(Path(folder), int(size["alarm_tags"]), receiver.port) as plant,
    ):
        if sabotage:
            role = plant.supervisor.roles[_WHERE[sabotage]]
            role.command = [sys.executable, "-m", "drills.meaning_sabotage", sabotage, *role.command[role.command.index("run") + 1 :]]
        wait_for_database(plant)
        script = Script(plant.site, random.Random(seed), int(size["alarm_tags"]), int(size["excursions"]))
        script.start()
        killed = _kill(plant, random.Random(seed + 1), int(size["kills"]), float(size["pause"]), script, role=_WHERE.get(sabotage or ""))
        plant.tend(_SETTLE_SECONDS, lambda: not script.is_alive())
        _settle(plant)
        found = Findings()
        with site_log(plant.site) as log:
            _check_alarms(log, plant.site, script, found)
            _check_stored(plant.site, found)
            _check_notifications(log, plant.site, script, receiver, found)
        _check_rollups(plant, found)
    for example in found.examples[:10]:
        say(example)
    passed = bool(found.examples) if sabotage else not found.examples
    result: dict[str, Any] = {
        "drill": "meaning",
        "seed": seed,
        "kills": sum(killed.values()),
        "by_role": dict(killed),
        "seconds": round(time.monotonic() - started, 1),
        "readings": script.written,
        **found.figures,
        "differences": len(found.examples),
        "passed": passed,
    }
    if sabotage:
        result |= {"sabotage": sabotage, "caught": passed}
    return result


@dataclass
class Findings:
    """What the comparison showed: figures, and everything that is not as the script says."""

    figures: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)


# --- the plant


@contextmanager
def _stage(folder: Path, alarm_tags: int, port: int) -> Iterator[Stage]:
    """Set up the roles that make something of readings, without gateways: the drill writes itself."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[_SECRET] = "drill" * 8
    file = folder / "site.yaml"
    file.write_text(yaml.safe_dump(_site(alarm_tags, port)))
    plant = Stage(load(file))
    for name in ("api", "gateway:drill"):
        del plant.supervisor.roles[name]
    try:
        yield plant
    finally:
        plant.supervisor.stop()
        plant.supervisor.close()


def _site(alarm_tags: int, port: int) -> dict[str, Any]:
    tags = [*_alarm_tags(alarm_tags), *(f"D.LEVEL.T{number}" for number in range(_LEVELS))]
    high = {"kind": "high", "limit": _LIMIT, "deadband": 10}
    hook = {"id": "hook", "type": "webhook", "url": f"http://127.0.0.1:{port}/", "secret": f"${{{_SECRET}}}"}
    return {
        "site": "drill",
        "historian": {"flush_seconds": 0.5},
        "gateways": [{"id": "drill", "sources": [{"id": "script", "type": "simulated", "tags": [{"path": tag} for tag in tags]}]}],
        "alarms": {
            "live_within": 3600,
            "definitions": [{"id": "seen", "tags": ["D.SEEN.*"], **high}, {"id": "once", "tags": ["D.ONCE.*"], "ack": "not", **high}],
        },
        "rollups": {"grace_seconds": 1, "repair_seconds": 1},
        "notifications": {
            "channels": [hook],
            "rules": [{"id": "all", "severity": ["CRITICAL", "HIGH", "MEDIUM", "LOW"], "channels": ["hook"]}],
            "hold_seconds": 0,
            "escalation": {"channels": []},
            "storm": {"per_minute": 10_000, "critical_per_minute": 10_000},
        },
    }


def _alarm_tags(count: int) -> list[str]:
    return [f"D.{'ONCE' if number % 2 else 'SEEN'}.T{number}" for number in range(count)]


def wait_for_database(plant: Stage) -> None:
    """Return once the historian has made its tables. Raises RuntimeError."""

    def ready() -> bool:
        try:
            return plant.stored_readings() >= 0
        except psycopg.errors.UndefinedTable:  # not migrated yet
            return False

    if not plant.tend(90, ready, _LOOK_SECONDS):
        raise RuntimeError(f"the database did not start: see {plant.site.data_dir / 'logs'}")


def _kill(plant: Stage, chance: random.Random, kills: int, pause: float, script: "Script", *, role: str | None) -> Counter[str]:
    """Kill roles at random while the script lasts; with a planted defect mostly the role that has it."""
    killed: Counter[str] = Counter()
    while killed.total() < kills and script.is_alive():
        plant.tend(chance.uniform(0.3, 2 * pause - 0.3))
        name = role if role and chance.random() < 0.8 else chance.choice(_VICTIMS)
        pid = embedded_server(plant.site).pid() if name == "database" else plant.supervisor.roles[name].pid
        if pid is None:
            continue
        os.kill(pid, signal.SIGKILL)
        killed[name] += 1
    return killed


def _settle(plant: Stage) -> None:
    """Return once every step and channel has read everything, the historian stored it, and no rollup is due."""
    layout = layout_of(plant.site.config.log)
    reads = {
        "validate": [*layout.categories("raw")],
        "alarms": [*layout.topics(Category.TELEMETRY, "clean"), *layout.topics(Category.ALARM, "clean")],
        "notify": [*layout.topics(Category.ALARM, "clean")],
        "notify.hook": [layout.notifications],
        "historian": [*layout.categories("clean")],
    }

    def idle() -> bool:
        try:
            with site_log(plant.site) as log:
                for group, topics in reads.items():
                    committed = log.committed(group)
                    if any(committed.get(at, 0) < end for topic in topics for at, (_, end) in log.bounds(topic).items()):
                        return False
            with psycopg.connect(conninfo(plant.site), autocommit=True) as connection:
                (due,) = connection.execute("SELECT count(*) FROM historian.rollup_due WHERE stop < now() - interval '5 s'").fetchone() or (
                    1,
                )
        except (RetryLater, psycopg.Error):
            return False
        return bool(due == 0)

    if not plant.tend(_SETTLE_SECONDS, idle, _LOOK_SECONDS):
        raise RuntimeError(f"not everything was read {_SETTLE_SECONDS:g} s after the script's end: see {plant.site.data_dir / 'logs'}")
    plant.tend(3.0)  # what a tick brings about
    if not plant.tend(_SETTLE_SECONDS, idle, _LOOK_SECONDS):
        raise RuntimeError(f"the roles did not come to rest: see {plant.site.data_dir / 'logs'}")


# --- the script


class Script(threading.Thread):
    """Writes raw telemetry, a beat at a time, and remembers what follows from it.

    Attributes:
        expected: per tag, when its condition came and went.
        written: readings appended.
    """

    def __init__(self, site: Site, chance: random.Random, alarm_tags: int, excursions: int) -> None:
        super().__init__(name="script", daemon=True)
        self._site = site
        self._chance = chance
        self._tags = _alarm_tags(alarm_tags)
        self._beats = 2 * max(1, excursions // alarm_tags) + 1
        self.expected: dict[str, list[tuple[int, Trigger]]] = {tag: [] for tag in self._tags}
        self.written = 0

    def run(self) -> None:
        """Write to the end."""
        layout = layout_of(self._site.config.log)
        topic = layout.topic(Category.TELEMETRY, "raw")
        levels = [f"D.LEVEL.T{number}" for number in range(_LEVELS)]
        slots = {tag: TagSlot.of(tag, "script", Kind.DOUBLE, layout.telemetry_partitions) for tag in (*self._tags, *levels)}
        seq, covered = 0, dict.fromkeys(range(layout.telemetry_partitions), 0)
        last = 0
        with site_log(self._site) as log:
            for beat in range(self._beats):
                began = time.monotonic()
                now = max(times.now(), last + 1000)
                rows = [(slots[tag], self._toggled(tag, beat, now)) for tag in self._tags]
                rows += [(slots[tag], self._level(tag, now)) for tag in levels]
                last = now + 1000
                blocks, after = write_blocks("drill", seq, covered, rows)
                log.append(topic, blocks)
                covered.update({block.partition: after for block in blocks if block.partition is not None})
                seq, self.written = after, self.written + len(rows)
                time.sleep(max(0.0, _BEAT - (time.monotonic() - began)))

    def _toggled(self, tag: str, beat: int, now: int) -> Reading:
        """Return the next value of an alarm tag, at a microsecond of its own."""
        # in turns: whenever something is killed, half of the conditions are on
        moment, high = now + self._chance.randrange(1000), (beat + tag.startswith("D.ONCE.")) % 2 == 1
        if beat or high:
            self.expected[tag].append((moment, Trigger.CONDITION_ON if high else Trigger.CONDITION_OFF))
        return Reading(tag, _HIGH if high else _LOW, 0, moment, now)

    def _level(self, tag: str, now: int) -> Reading:
        late = self._chance.randrange(2 * times.DAY) if self._chance.random() < _LATE_SHARE else 0
        return Reading(tag, round(self._chance.gauss(20.0, 5.0), 3), 0, now - late, now)


# --- the receiver of notifications


class _Receiver(http.server.ThreadingHTTPServer):
    """Takes what the webhook sends.

    Attributes:
        got: how often each request came.
    """

    def __init__(self) -> None:
        self.got: Counter[str] = Counter()
        super().__init__(("127.0.0.1", 0), _Hook)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


class _Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, _Receiver)
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got[told["id"]] += 1
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _receiver() -> Iterator[_Receiver]:
    with _Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


# --- the comparison


def _all(log: Log, topics: Sequence[str]) -> Iterator[StoredRecord]:
    for topic in topics:
        for at, (first, end) in sorted(log.bounds(topic).items()):
            position = first
            while position < end and (records := log.read(at, position, 1000)):
                yield from records
                position = records[-1].offset + 1


def _check_alarms(log: Log, site: Site, script: Script, found: Findings) -> None:
    """Every transition of the script once, in order, and nothing else."""
    told: dict[str, list[tuple[int, str]]] = {tag: [] for tag in script.expected}
    ids: Counter[str] = Counter()
    for record in _all(log, layout_of(site.config.log).topics(Category.ALARM, "clean")):
        event = decode_event_record(record, RegistryClient())
        life = Lifecycle.of(event)
        if life is None:
            continue
        ids[event.id] += 1
        told[f"{event.asset}.{event.tag}"].append((event.time, life.transition))
        if not life.live:
            found.examples.append(f"{life.key} at {times.to_iso(event.time)} was taken for history")
    missed = doubled = 0
    for tag, expected in script.expected.items():
        wanted, got = Counter((time, trigger.value) for time, trigger in expected), Counter(told[tag])
        missed, doubled = missed + (wanted - got).total(), doubled + (got - wanted).total()
        if (wanted - got) or (got - wanted):
            found.examples.append(f"{tag}: {len(wanted - got)} transitions missed, {len(got - wanted)} too many")
        elif told[tag] != [(time, trigger.value) for time, trigger in expected]:
            found.examples.append(f"{tag}: transitions are out of order")
    twice = sum(count - 1 for count in ids.values())
    if twice:
        found.examples.append(f"{twice} transitions stand twice on the topic")
    found.figures |= {"transitions": len(ids), "missed": missed, "too_many": doubled}


def _check_stored(site: Site, found: Findings) -> None:
    """The historian has each transition that the topic has."""
    with psycopg.connect(conninfo(site), autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM historian.event WHERE category = 2").fetchone()
    stored = int(row[0]) if row else 0
    if stored != found.figures["transitions"]:
        found.examples.append(f"{stored} transitions are stored, {found.figures['transitions']} were told")


def _check_notifications(log: Log, site: Site, script: Script, receiver: _Receiver, found: Findings) -> None:
    """Every alarm that nobody has to acknowledge is asked for once; every request has an outcome; what was delivered arrived."""
    layout = layout_of(site.config.log)
    requests = [decode_request(record) for record in _all(log, [layout.notifications])]
    outcomes = {one.request: one.outcome for one in map(decode_delivery, _all(log, [layout.deliveries]))}
    asked = Counter(one.tag for one in requests if one.kind is RequestKind.TRIGGER and one.asset == "D.ONCE")
    wanted = {
        tag.rpartition(".")[2]: sum(trigger is Trigger.CONDITION_ON for _, trigger in expected)
        for tag, expected in script.expected.items()
        if tag.startswith("D.ONCE.")
    }
    found.examples += [
        f"{tag}: {count} alarms, {asked[tag]} requests to tell of one" for tag, count in wanted.items() if asked[tag] != count
    ]
    ids = {one.id for one in requests}
    if len(ids) != len(requests):
        found.examples.append(f"{len(requests) - len(ids)} requests stand twice on the topic")
    if lost := [one for one in ids if one not in outcomes]:
        found.examples.append(f"{len(lost)} requests have no outcome")
    untold = [one for one, outcome in outcomes.items() if outcome is Outcome.DELIVERED and one not in receiver.got]
    if untold:
        found.examples.append(f"{len(untold)} notifications are said to be delivered and never arrived")
    if strange := [one for one in receiver.got if one not in ids]:
        found.examples.append(f"{len(strange)} notifications arrived that nobody asked for")
    delivered = sum(outcome is Outcome.DELIVERED for outcome in outcomes.values())
    repeats = sum(count - 1 for count in receiver.got.values())
    found.figures |= {"requests": len(ids), "delivered": delivered, "untold": len(untold) + len(lost), "repeats_by_key": repeats}


def _check_rollups(plant: Stage, found: Findings) -> None:
    """Every bucket of every statistic as SQL computes it from the readings."""
    site = plant.site
    plant.tend(30.0, lambda: recompute(conninfo(site), site.config.rollups, ZoneInfo("UTC")).behind == 0, 2.0)
    report = recompute(conninfo(site), site.config.rollups, ZoneInfo(site.config.timezone))
    if not report.buckets:
        found.examples.append("no rollups were made")
    found.examples += [
        f"rollup {one.tag} {one.tier} {times.to_iso(one.start)} {one.statistic}: {one.stored} {one.computed}" for one in report.differences
    ]
    found.figures |= {"buckets": report.buckets, "behind": report.behind, "wrong_figures": len(report.differences)}
