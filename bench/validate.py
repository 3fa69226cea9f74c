"""`validate.step`, `validate.changes`: the validation step alone on one core, blocks in, blocks and dead letters out.

The peer is what one writes first: a loop over JSON messages of one reading each, decoded and encoded with msgspec into typed structs, that
applies the same rules (known tag, time, finite, range, repeats, rate of change, gaps) with a dictionary of the last readings.

In `validate.step` every reading is in order. In `validate.changes` one reading in twenty is not: half of them are out of range and become
dead letters, half change too fast and get another quality, so that no block passes unchanged.
"""

import math
import os
import random
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import msgspec

from bench.harness import SHORT, Work, bench, stopwatch, wanted
from trunkline.config.site import LogConfig, ValidationConfig
from trunkline.config.tags import TagConfig
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.opening import layout_of
from trunkline.log.port import StoredRecord
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.quality import Quality, Severity, severity
from trunkline.model.reading import Category, Kind, Reading
from trunkline.processing.validate import ValidateStep

TAGS: Final = 1000
BLOCK: Final = 200
#: Records that the step's runtime takes at once.
POLL: Final = 500
READINGS: Final = 200_000 if SHORT else 1_000_000
RUNS: Final = 3 if SHORT else 5
GOAL: Final = 2.0
START: Final = 1_795_000_000 * times.SECOND
LOW, HIGH, RATE = 0.0, 100.0, 50.0
CONFIG: Final = ValidationConfig()


class Message(msgspec.Struct, frozen=True):
    """One reading as the peer's JSON."""

    tag: str
    source: str
    value: float
    quality: int
    time: int
    gateway_time: int
    seq: int


def layout() -> Layout:
    """Return the naming of topics."""
    return layout_of(LogConfig())


def readings(changes: float) -> list[tuple[TagSlot, Reading]]:
    """Return readings of every tag once a second; the share `changes` of them is out of range or too fast, in turn."""
    chance = random.Random(7)
    slots = [TagSlot.of(f"PLANT01.AREA{n // 100:02}.U{n // 10 % 10:02}.T{n % 10}", f"plc-{n % 4}", Kind.DOUBLE, 1) for n in range(TAGS)]
    values = [chance.gauss(50, 5) for _ in slots]
    made = []
    for second in range(READINGS // TAGS):
        for n, slot in enumerate(slots):
            values[n] = min(90.0, max(10.0, values[n] + chance.gauss(0, 0.1)))
            value = values[n]
            if chance.random() < changes:
                value = HIGH + 1 + value if chance.random() < 0.5 else 99.0 if value < 45 else 0.5
            at = START + second * times.SECOND + n * 500 + chance.randrange(4000)
            made.append((slot, Reading(slot.path, round(value, 3), 0, at, at + chance.randrange(5000))))
    return made


def blocks(pairs: Sequence[tuple[TagSlot, Reading]]) -> list[StoredRecord]:
    """Return the readings as the step gets them."""
    topic = layout().topic(Category.TELEMETRY, "raw")
    found: list[StoredRecord] = []
    covered: dict[int, int] = {}
    seq = 0
    for begin in range(0, len(pairs), BLOCK):
        (record,), seq = write_blocks("bench", seq, covered, pairs[begin : begin + BLOCK])
        covered[0] = seq
        found.append(StoredRecord(topic, 0, len(found), START, None, record.value, record.headers))
    return found


def messages(pairs: Sequence[tuple[TagSlot, Reading]]) -> list[bytes]:
    """Return the readings as the peer gets them."""
    encode = msgspec.json.Encoder().encode
    return [
        encode(Message(slot.path, slot.source, float(one.value or 0), one.quality, one.source_time or 0, one.gateway_time, seq))
        for seq, (slot, one) in enumerate(pairs)
    ]


def on_one_core() -> None:
    """Stay on one core: NumPy and Arrow may not use the other."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def ours(records: Sequence[StoredRecord]) -> Work:
    """One run of the step."""
    on_one_core()
    tags = {f"PLANT01.AREA{n // 100:02}.U{n // 10 % 10:02}.T{n % 10}": n for n in range(TAGS)}
    step = ValidateStep(layout(), {tag: TagConfig(path=tag, min=LOW, max=HIGH, max_rate=RATE) for tag in tags}, CONFIG)
    clean = dead = 0
    with stopwatch() as watch:
        for begin in range(0, len(records), POLL):
            out = step.process(records[begin : begin + POLL])
            clean += len(out[layout().topic(Category.TELEMETRY, "clean")])
            dead += len(out.get(layout().topic(Category.TELEMETRY, "dead"), ()))
    if step.counts["accepted"] + step.counts["rejected"] != READINGS or clean != len(records) or dead != step.counts["rejected"]:
        raise RuntimeError(f"readings are missing: {step.counts}, {clean} blocks")
    return Work(READINGS, watch.seconds)


class Loop:
    """The peer: one reading after the other."""

    def __init__(self) -> None:
        self._limits = {f"PLANT01.AREA{n // 100:02}.U{n // 10 % 10:02}.T{n % 10}": (LOW, HIGH, RATE) for n in range(TAGS)}
        self._last: dict[str, tuple[int, float]] = {}
        self._interval: dict[str, float] = {}
        self._seen: set[tuple[str, int, float]] = set()
        self.gaps = 0

    def judge(self, one: Message) -> tuple[str | None, int]:
        """Return why a reading is refused, or None, and its quality."""
        limits = self._limits.get(one.tag)
        if limits is None:
            return "tag", one.quality
        ahead = one.time - one.gateway_time
        if one.time < times.EARLIEST or ahead > times.DAY or -ahead > CONFIG.max_age_days * times.DAY:
            return "time", one.quality
        quality = one.quality
        good = severity(quality) is Severity.GOOD
        if ahead > CONFIG.max_future_seconds * times.SECOND and good:
            quality = Quality.UNCERTAIN_CLOCK_SKEW
        if not math.isfinite(one.value):
            return "finite", quality
        if not limits[0] <= one.value <= limits[1]:
            return "range", quality
        identity = (one.tag, one.time, one.value)
        if identity in self._seen:
            return "repeat", quality
        self._seen.add(identity)
        if len(self._seen) > 200_000:
            self._seen.clear()
        before = self._last.get(one.tag)
        if before is not None and one.time > before[0]:
            step = one.time - before[0]
            if good and abs(one.value - before[1]) / (step / times.SECOND) > limits[2]:
                quality = Quality.UNCERTAIN_SUSPECT_RATE
            usual = self._interval.get(one.tag, float(step))
            if step > CONFIG.gap_factor * usual:
                self.gaps += 1
            self._interval[one.tag] = usual + 0.1 * (step - usual)
        self._last[one.tag] = (one.time, one.value)
        return None, quality


def peer(lines: Sequence[bytes]) -> Work:
    """One run of the loop."""
    on_one_core()
    loop, decode, encode = Loop(), msgspec.json.Decoder(Message).decode, msgspec.json.Encoder().encode
    clean: list[bytes] = []
    dead: list[bytes] = []
    with stopwatch() as watch:
        for line in lines:
            one = decode(line)
            reason, quality = loop.judge(one)
            if reason is not None:
                dead.append(encode({"reason": reason, "reading": one}))
            else:
                clean.append(encode(one if quality == one.quality else msgspec.structs.replace(one, quality=quality)))
    if len(clean) + len(dead) != READINGS:
        raise RuntimeError("readings are missing")
    return Work(READINGS, watch.seconds)


def main() -> int:
    """Run what is wanted; return 1 if a goal was missed."""
    passed = True
    for name, changes in (("validate.step", 0.0), ("validate.changes", 0.05)):
        if not wanted(name):
            continue
        pairs = readings(changes)
        conditions: dict[str, Any] = {"tags": TAGS, "block": BLOCK, "readings": READINGS, "to_change": changes, "cores_used": 1}
        mine, theirs = partial(ours, blocks(pairs)), partial(peer, messages(pairs))
        figure = bench(name, "readings/s", mine, peer=("msgspec-loop", theirs), goal=GOAL, runs=RUNS, conditions=conditions)
        passed &= figure["passed"]
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
