"""The rules, over columns of readings in log order. Each returns what it found; none raises.

Quality that a device itself reports passes through: a BAD reading of a broken sensor belongs into history. What a rule refuses is
*rejected*; what a rule doubts keeps its way with a worse quality.
"""

from dataclasses import dataclass, field
from uuid import UUID

import numpy as np

from trunkline.config.site import ValidationConfig
from trunkline.log.codec.columns import BOOL, F64, I64, U16, Columns
from trunkline.log.codec.event_ids import IDS
from trunkline.model import quality as q
from trunkline.model import times
from trunkline.model.quality import Quality
from trunkline.model.reading import Kind
from trunkline.processing.rules.batch import Hit
from trunkline.processing.rules.overrides import Overrides
from trunkline.processing.rules.ruleset import KINDS, RuleSet, outcome, reasons
from trunkline.processing.validate.memory import TagMemory

#: Readings of a tag until its usual interval is trusted, and the weight of a new one.
_LEARN = 10
_WEIGHT = 0.1


@dataclass(slots=True)
class Gap:
    """A silence longer than usual (W-66): position of the reading that ended it, and the two times in µs."""

    position: int
    expected: float
    actual: int


@dataclass(slots=True)
class Verdicts:
    """What the rules found in one batch.

    Attributes:
        rejected: True where a reading is refused; `reasons` has the words by position.
        repeat: True where a reading was seen before and is dropped.
        quality: the qualities after the rules.
        held: True where a person has said what the quality is; None when nobody has of any reading.
        hits: readings that broke a rule of the site file, rule by rule.
        gaps: silences that ended in this batch.
    """

    rejected: BOOL
    repeat: BOOL
    quality: U16
    held: BOOL | None = None
    reasons: dict[int, str] = field(default_factory=dict)
    hits: list[Hit] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    def reject(self, where: BOOL, reason: str) -> None:
        """Refuse readings that no earlier rule refused."""
        for position in np.flatnonzero(where & ~self.rejected).tolist():
            self.reasons[position] = reason
        self.rejected |= where


def judge(
    columns: Columns,
    memory: TagMemory,
    config: ValidationConfig,
    ids: IDS | None = None,
    rules: RuleSet | None = None,
    now: int | None = None,
    said: Overrides | None = None,
) -> Verdicts:
    """Apply every rule and update the memory.

    Args:
        columns: readings in log order.
        memory: limits and last readings of the tags.
        config: limits that hold for all tags.
        ids: event ids of readings that came with some.
        rules: rules of the site file.
        now: as for `RuleSet.judge`.
        said: what people have said of qualities.
    """
    size = len(columns)
    verdicts = Verdicts(np.zeros(size, np.bool_), np.zeros(size, np.bool_), columns.quality.copy())
    if not size:
        return verdicts
    places = memory.places(columns.tags)[columns.tag]
    kinds = columns.kinds[columns.tag]
    value = np.where(kinds == Kind.DOUBLE, columns.number, columns.integer.astype(np.float64))
    value[(kinds == Kind.TEXT) | columns.absent] = np.nan

    _known(columns, memory, places, verdicts)
    _time(columns, config, verdicts)
    _finite(columns, kinds, verdicts)
    _text(columns, config, verdicts)
    overridden = None if said is None else said.qualities(columns)
    if overridden is not None:
        verdicts.held = overridden[0] & ~verdicts.rejected
    _range(memory, places, value, config, verdicts)
    if ids is not None:
        _identities(columns, memory, places, ids, verdicts)
    _repeats(columns, memory, places, verdicts)
    if rules is not None:
        _rules(columns, value, rules, now, config, verdicts)
    _history(columns, memory, places, value, config, verdicts)
    if overridden is not None and verdicts.held is not None:
        verdicts.quality[verdicts.held] = overridden[1][verdicts.held]
    return verdicts


def _known(columns: Columns, memory: TagMemory, places: I64, verdicts: Verdicts) -> None:
    unknown = ~memory.known[places]
    if unknown.any():
        verdicts.reject(unknown, "tag: not in the site file; add it there and replay")
        for position in np.flatnonzero(unknown).tolist():
            verdicts.reasons[position] = f"tag: {columns.tags[columns.tag[position]]} is not in the site file; add it there and replay"


def _time(columns: Columns, config: ValidationConfig, verdicts: Verdicts) -> None:
    ahead = columns.time - columns.gateway_time
    verdicts.reject(columns.time < times.EARLIEST, "time: before the year 2000: the device's clock was never set")
    verdicts.reject(-ahead > int(config.max_age_days * times.DAY), f"time: more than {config.max_age_days:g} days before the gateway's")
    verdicts.reject(ahead > times.DAY, "time: more than a day ahead of the gateway's clock")
    doubtful = ahead > int(config.max_future_seconds * times.SECOND)
    _worsen(verdicts, doubtful, Quality.UNCERTAIN_CLOCK_SKEW)


def _finite(columns: Columns, kinds: object, verdicts: Verdicts) -> None:
    bad = (kinds == Kind.DOUBLE) & ~columns.absent & ~np.isfinite(columns.number)
    verdicts.reject(bad, "finite: NaN and infinities are no measurements")


def _text(columns: Columns, config: ValidationConfig, verdicts: Verdicts) -> None:
    for position, word in columns.text.items():
        if "\x00" in word:
            reason = "text: contains a NUL character"
        elif len(word) > config.max_text_bytes or len(word.encode()) > config.max_text_bytes:
            reason = f"text: {len(word.encode()):,} bytes, at most {config.max_text_bytes:,} are allowed"
        else:
            continue
        if not verdicts.rejected[position]:
            verdicts.rejected[position] = True
            verdicts.reasons[position] = reason


def _range(memory: TagMemory, places: I64, value: F64, config: ValidationConfig, verdicts: Verdicts) -> None:
    """W-126: bounds are inclusive (D-32). A reading that its device already calls BAD is not judged again."""
    judged = (verdicts.quality >> q.SEVERITY_SHIFT) < 2
    low, high = memory.low[places], memory.high[places]
    outside = judged & ((value < low) | (value > high)) & ~verdicts.rejected
    if verdicts.held is not None:
        outside &= ~verdicts.held
    if config.bad == "keep":
        verdicts.quality[outside] = Quality.BAD_OUT_OF_RANGE
        return
    for position in np.flatnonzero(outside).tolist():
        side, limit = ("below", low[position]) if value[position] < low[position] else ("above", high[position])
        verdicts.rejected[position] = True
        verdicts.reasons[position] = f"range: {value[position]:g} is {side} {limit:g}"


def _identities(columns: Columns, memory: TagMemory, places: I64, ids: IDS, verdicts: Verdicts) -> None:
    """PD-23: an event id that came lately with other content shows a faulty or forged sender. Equal content is a repeat."""
    for position in memory.other_content(ids.tolist(), memory.prints(columns, places)):
        if not verdicts.rejected[position]:
            verdicts.rejected[position] = True
            verdicts.reasons[position] = f"event_id: {UUID(bytes=ids[position].tobytes())} is known with other content"


def _repeats(columns: Columns, memory: TagMemory, places: I64, verdicts: Verdicts) -> None:
    """W-128, D-33: same tag, time, value and quality as a recent reading. Only readings that do not advance in time can be repeats."""
    prints = memory.prints(columns, places)
    order = np.lexsort((np.arange(len(columns)), columns.time, places))
    same_tag = np.zeros(len(columns), np.bool_)
    same_tag[order[1:]] = (places[order[1:]] == places[order[:-1]]) & (columns.time[order[1:]] == columns.time[order[:-1]])
    candidates = same_tag | (columns.time <= memory.last_time[places])
    fresh: set[int] = set()
    if candidates.any():
        group = set(np.flatnonzero(candidates).tolist())
        # the first of equal stamps within the batch is a candidate's twin: it has to be known before the others are judged
        for position, fingerprint in enumerate(prints):
            if position in group and (fingerprint in fresh or memory.is_repeat(fingerprint)) and not verdicts.rejected[position]:
                verdicts.repeat[position] = True
            fresh.add(fingerprint)
    memory.remember(prints)


def _rules(columns: Columns, value: F64, rules: RuleSet, now: int | None, config: ValidationConfig, verdicts: Verdicts) -> None:
    """Rules of the site file: reasons stack, the worst verdict counts, and of equally bad ones the first in the file."""
    verdicts.hits = rules.judge(columns, value, columns.quality, ~verdicts.rejected & ~verdicts.repeat, now)
    if not verdicts.hits:
        return
    refused = np.zeros(len(columns), np.bool_)
    for hit in verdicts.hits:
        where = np.zeros(len(columns), np.bool_)
        where[hit.positions] = True
        if verdicts.held is not None:
            where &= ~verdicts.held
        _, uncertain, bad = KINDS[hit.rule.kind]
        match outcome(hit.rule, config):
            case "uncertain":
                _worsen(verdicts, where, uncertain)
            case "keep":
                _worsen(verdicts, where, bad)
            case "drop":
                verdicts.repeat |= where
            case "dead_letter":
                refused |= where
    if refused.any():
        for position, broken in reasons(verdicts.hits).items():
            if refused[position]:
                verdicts.reasons[position] = "; ".join(f"{rule.kind}: {words} (rule {rule.id})" for rule, words in broken)
        verdicts.rejected |= refused
        verdicts.repeat &= ~refused


def _history(columns: Columns, memory: TagMemory, places: I64, value: F64, config: ValidationConfig, verdicts: Verdicts) -> None:
    """Rate of change (W-127) and gaps (W-129) against the reading before, per second of history time; late data is left alone (D-32)."""
    use = ~verdicts.rejected & ~verdicts.repeat
    if not use.any():
        return
    index = np.flatnonzero(use)
    order = index[np.argsort(places[index], kind="stable")]
    tag, time, number = places[order], columns.time[order], value[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = tag[1:] != tag[:-1]
    before_time = np.empty_like(time)
    before_time[1:] = time[:-1]
    before_time[first] = memory.last_time[tag[first]]
    before_value = np.empty_like(number)
    before_value[1:] = number[:-1]
    before_value[first] = memory.last_value[tag[first]]
    heard = before_time > 0
    step = np.where(heard, time - np.where(heard, before_time, 0), 0)
    advancing = heard & (step > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = np.abs(number - before_value) / (step / times.SECOND)
        fast = advancing & (rate > memory.max_rate[tag])
    doubtful = np.zeros(len(columns), np.bool_)
    doubtful[order[fast]] = True
    _worsen(verdicts, doubtful, Quality.UNCERTAIN_SUSPECT_RATE)
    _gaps(memory, order, tag, step, advancing, config, verdicts)
    last = np.ones(len(order), np.bool_)
    last[:-1] = tag[1:] != tag[:-1]
    newest = order[last]
    newer = columns.time[newest] > memory.last_time[places[newest]]
    memory.last_time[places[newest[newer]]] = columns.time[newest[newer]]
    measured = newest[newer & ~np.isnan(value[newest])]
    memory.last_value[places[measured]] = value[measured]


def _gaps(memory: TagMemory, order: I64, tag: I64, step: I64, advancing: BOOL, config: ValidationConfig, verdicts: Verdicts) -> None:
    usual = memory.interval[tag]
    learnt = advancing & memory.reports_always[tag] & (memory.seen[tag] >= _LEARN)
    for place in np.flatnonzero(learnt & (step > config.gap_factor * usual)).tolist():
        verdicts.gaps.append(Gap(int(order[place]), float(usual[place]), int(step[place])))
    ordinary = advancing & ~(learnt & (step > config.gap_factor * usual))
    learning = tag[ordinary]
    if len(learning):
        # one step per tag and batch is enough for an average; the last assignment wins
        old = memory.interval[learning]
        memory.interval[learning] = np.where(np.isnan(old), step[ordinary], old + _WEIGHT * (step[ordinary] - old))
        np.add.at(memory.seen, learning, 1)


def _worsen(verdicts: Verdicts, where: BOOL, quality: Quality) -> None:
    good = (verdicts.quality >> q.SEVERITY_SHIFT) < q.severity(quality)
    verdicts.quality[where & good] = quality
