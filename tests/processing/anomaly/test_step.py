"""Scores as series: numbered, written once and counted, whatever ends the step when (E-73, ED-23)."""

import random
import threading
from pathlib import Path

import pytest
from tests.processing.test_memory import Failing
from tests.processing.test_runtime import eventually

from trunkline.config.anomalies import ANOMALY, AnomalyRule, score_source
from trunkline.config.tags import TagConfig
from trunkline.ledger.status import decode_status
from trunkline.log.codec import columns as codec
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.journal.journal import Journal
from trunkline.log.port import TopicPartition
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.reading import Category, Kind, Reading
from trunkline.processing.anomaly.step import Anomalies
from trunkline.processing.runtime import StepRunner
from trunkline.processing.telemetry import CleanTelemetry, TelemetryStep

LAYOUT = Layout("gateway", 2)
CLEAN = LAYOUT.topic(Category.TELEMETRY, "clean")
RAW = LAYOUT.topic(Category.TELEMETRY, "raw")
TAGS = {f"P.U{number}.FLOW": TagConfig(path=f"P.U{number}.FLOW", unit="m³/h") for number in range(4)}
RULES = (AnomalyRule.model_validate({"id": "jump", "tags": ["**.FLOW"], "robust_z": {"learn": 20, "window": 60}}),)
START = times.from_iso("2026-11-01T12:00:00Z")


def feed(path: Path, seconds: int, seed: int) -> None:
    dice = random.Random(seed)
    slots = [TagSlot.of(tag, "plc", Kind.DOUBLE, LAYOUT.telemetry_partitions) for tag in TAGS]
    seq, covered = 0, dict.fromkeys(range(2), 0)
    with Journal(path) as log:
        log.create(LAYOUT.catalogue(times.DAY))
        for second in range(seconds):
            moment = START + second * times.SECOND
            rows = [(slot, Reading(slot.path, dice.gauss(50, 1) + 40 * (second % 90 == 89), 0, moment, moment)) for slot in slots]
            blocks, seq = write_blocks("gw", seq, covered, rows)
            covered = dict.fromkeys(covered, seq)
            log.append(CLEAN, blocks)


def made(origin: str) -> TelemetryStep:
    units = {path: tag.unit for path, tag in TAGS.items()}
    core = Anomalies(LAYOUT, RULES, units, "UTC", origin)
    telemetry = CleanTelemetry(LAYOUT, dict.fromkeys(TAGS, Kind.DOUBLE))
    now = START + times.HOUR
    return TelemetryStep("anomaly", LAYOUT, telemetry, core, core.evaluate, core.tick, core.topics, clock=lambda: now)


def run(path: Path, seed: int | None) -> dict[str, list[tuple[int, float]]]:
    """Run to the end of the input; return the scores by tag."""
    dice, stop = random.Random(seed), threading.Event()
    lives = iter(range(10_000))
    runner = StepRunner(
        lambda: Journal(path) if seed is None else Failing(path, dice),  # type: ignore[arg-type,return-value]
        lambda: made(f"life-{next(lives)}"),
        "evaluate-0",
        checkpoint_seconds=0.05,
    )
    thread = threading.Thread(target=runner.run, args=(stop,))
    thread.start()
    with Journal(path) as log:
        ends = {at: end for at, (_, end) in log.bounds(CLEAN).items() if end}
        eventually(lambda: all(log.committed("anomaly").get(at) == end for at, end in ends.items()))
        stop.set()
        thread.join()
        records = [record for at in sorted(log.bounds(RAW)) for record in log.read(at, 0, 100_000)]
        told = codec.decode(records)
        reports = log.read(TopicPartition(LAYOUT.gateway_status, 0), 0, 100_000)
    assert len({head.origin for head in told.heads}) == 1, "one numbering, whatever happened"
    assert sorted(told.seq.tolist()) == list(range(len(told))), "each number once"
    counted = {(count.hour, count.read) for report in reports for count in decode_status(report.value).counts}
    assert max(read for _, read in counted) <= len(told), "the ledger is told of no more than there is"
    found: dict[str, list[tuple[int, float]]] = {}
    for tag, time, value in zip(told.tag.tolist(), told.time.tolist(), told.number.tolist(), strict=True):
        found.setdefault(told.tags[tag], []).append((time, value))
    return found


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.processing.runtime._PAUSES", (0.0,))


@pytest.mark.parametrize("seed", [1, 2])
def test_scores_are_written_once(tmp_path: Path, seed: int) -> None:
    """Among commits that fail before or after they were stored, scores are those of an undisturbed run."""
    feed(tmp_path / "troubled.db", 150, seed)
    feed(tmp_path / "calm.db", 150, seed)
    scores, expected = run(tmp_path / "troubled.db", seed), run(tmp_path / "calm.db", None)
    assert scores.keys() == expected.keys() == {f"{tag}_ANOMALY_JUMP" for tag in TAGS}
    assert {tag: sorted(one) for tag, one in scores.items()} == {tag: sorted(one) for tag, one in expected.items()}
    assert max(value for one in scores.values() for _, value in one) > 8, "the jumps score"


def test_scores_are_tags_of_the_site() -> None:
    """Validation and history know them; those of a rule that keeps none are not there, and no rule watches scores."""
    source = score_source(RULES, TAGS.values())
    assert (source.id, [tag.path for tag in source.tags]) == (ANOMALY, [f"{tag}_ANOMALY_JUMP" for tag in TAGS])
    silent = RULES[0].model_copy(update={"scores": False})
    assert score_source((silent,), TAGS.values()).tags == ()
    trees = AnomalyRule.model_validate({"id": "all", "tags": ["P.*.FLOW"], "half_space_trees": {}})
    assert [tag.path for tag in score_source((trees,), TAGS.values()).tags] == [f"P.U{number}.ANOMALY_ALL" for number in range(4)]
