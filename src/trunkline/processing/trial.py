"""Definitions over history: what they would have said, before anything is deployed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from trunkline.config.definitions import Definitions
from trunkline.config.site import ValidationConfig
from trunkline.config.tags import TagConfig
from trunkline.log.codec.columns import Columns
from trunkline.model import quality as q
from trunkline.model import times
from trunkline.model.reading import Value
from trunkline.model.tags import TagPattern
from trunkline.processing.rules.ruleset import RuleSet, reasons
from trunkline.processing.validate.memory import TagMemory
from trunkline.processing.validate.rules import Verdicts, judge

Verdict = Literal["UNCERTAIN", "BAD", "DROPPED", "GAP"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was said of one reading, or of a silence.

    Attributes:
        time: µs UTC.
        tag: path of the tag.
        value: of the reading.
        verdict: the worst.
        kept: whether the reading would go into history.
        reasons: of each rule broken its id and why.
    """

    time: int
    tag: str
    value: Value
    verdict: Verdict
    kept: bool
    reasons: tuple[tuple[str, str], ...]


class Trial(Protocol):
    """One section of definitions at work on history."""

    def show(self, columns: Columns) -> list[Finding]:
        """Return what is said of readings, given in order of time."""
        ...

    def finish(self, now: int) -> list[Finding]:
        """Return what time alone brings until `now`."""
        ...


class RulesTrial:
    """Quality rules, after what the tags themselves say."""

    def __init__(self, definitions: Definitions, tags: Mapping[str, TagConfig], config: ValidationConfig) -> None:
        self._memory = TagMemory(dict(tags))
        self._config = config
        self._rules = RuleSet(definitions.rules, tags)

    def show(self, columns: Columns) -> list[Finding]:
        """Return the readings that some rule of the file judges."""
        verdicts = judge(columns, self._memory, self._config, rules=self._rules)
        found = []
        for position, broken in sorted(reasons(verdicts.hits).items()):
            why = tuple((rule.id, words) for rule, words in broken)
            kept = not (verdicts.rejected[position] or verdicts.repeat[position])
            found.append(_finding(columns, position, _verdict(verdicts, position), why, kept=kept))
        return found

    def finish(self, now: int) -> list[Finding]:
        """Return the silences that go on."""
        found = []
        for tag, silence in self._rules.tick(now):
            why = f"silent for {silence.lasts / times.SECOND:.1f} s and still; {silence.rule.allowed_seconds:g} s are allowed"
            told = silence.since + int(silence.rule.allowed_seconds * times.SECOND)
            found.append(Finding(told, tag, None, "GAP", kept=True, reasons=((silence.rule.id, why),)))
        return found


#: What can be tried, by section of the file.
SECTIONS: Final[dict[str, Callable[[Definitions, Mapping[str, TagConfig], ValidationConfig], Trial]]] = {"rules": RulesTrial}


def tags_of(definitions: Definitions, tags: Mapping[str, TagConfig], patterns: Sequence[str]) -> tuple[set[str], set[str]]:
    """Return the tags that are judged, of those that fit a pattern (all without any), and those that have to be read for it."""
    chosen = [TagPattern(text) for text in patterns]
    mine = {path: tag for path, tag in tags.items() if not chosen or any(one.matches(path) for one in chosen)}
    rules = RuleSet(definitions.rules, mine)
    judged = {path for path in mine if rules.judges(path)}
    return judged, judged | (rules.looked_at() & tags.keys())


def run(
    definitions: Definitions, tags: Mapping[str, TagConfig], config: ValidationConfig, history: Iterable[Columns], until: int
) -> Iterator[Finding]:
    """Yield what the definitions say of history, in order of time; of readings that come with other tags than `tags` nothing.

    Args:
        definitions: the file that is tried.
        tags: what is known of each tag.
        config: limits that hold for all tags.
        history: readings of all tags together, in order of time.
        until: µs UTC, when the time looked at ends.
    """
    trials = [make(definitions, tags, config) for section, make in SECTIONS.items() if getattr(definitions, section)]
    for columns in history:
        yield from sorted((one for trial in trials for one in trial.show(columns)), key=_order)
    yield from sorted((one for trial in trials for one in trial.finish(until)), key=_order)


def _order(finding: Finding) -> tuple[int, str]:
    return finding.time, finding.tag


def _verdict(verdicts: Verdicts, position: int) -> Verdict:
    if verdicts.rejected[position]:
        return "BAD"
    if verdicts.repeat[position]:
        return "DROPPED"
    # what broke a rule and is GOOD still broke one that only tells
    names: dict[int, Verdict] = {q.Severity.GOOD: "GAP", q.Severity.UNCERTAIN: "UNCERTAIN", q.Severity.BAD: "BAD"}
    return names[q.severity(int(verdicts.quality[position]))]


def _finding(columns: Columns, position: int, verdict: Verdict, why: tuple[tuple[str, str], ...], *, kept: bool) -> Finding:
    tag = columns.tags[columns.tag[position]]
    return Finding(int(columns.time[position]), tag, columns.value(position), verdict, kept, why)
