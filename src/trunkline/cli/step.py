"""`trunkline step try`: what definitions would have said of history, before anything is deployed."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from trunkline.cli.moment import moment
from trunkline.cli.output import emit, fail, people, plain
from trunkline.config.definitions import Definitions, read_definitions
from trunkline.config.loading import load
from trunkline.config.site import ValidationConfig
from trunkline.config.tags import KINDS, TagConfig
from trunkline.log.codec.columns import Columns
from trunkline.model import times
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.processing.history import batches, kind_of, read_csv
from trunkline.processing.trial import Finding, run, tags_of
from trunkline.supervisor.history import logged, stored
from trunkline.supervisor.wiring import historian_reader, site_log

app = typer.Typer(help="Steps between raw and clean data.", no_args_is_help=True)

_BATCH = 50_000


@dataclass(slots=True)
class _Past:
    """What is looked at: the tags judged, those to be read for it, and their readings."""

    judged: set[str]
    tags: dict[str, TagConfig]
    config: ValidationConfig
    until: int
    history: Iterable[Columns]
    readings: int = 0

    def counted(self) -> Iterator[Columns]:
        """Yield the readings, counting those of the tags judged."""
        for columns in self.history:
            mine = [number for number, tag in enumerate(columns.tags) if tag in self.judged]
            self.readings += sum(int((columns.tag == number).sum()) for number in mine)
            yield columns


@dataclass(slots=True)
class _Counts:
    """Verdicts counted."""

    verdicts: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)

    def add(self, one: Finding) -> None:
        """Count one."""
        self.verdicts[one.verdict] += 1
        self.rules.update(rule for rule, _ in one.reasons)
        self.tags[one.tag] += 1


@app.callback()
def step() -> None:
    """Steps between raw and clean data."""


@app.command("try")
def try_definitions(
    file: Annotated[Path, typer.Argument(help="file of definitions: 'rules:' as in the site file")],
    site: Annotated[Path | None, typer.Option("--site", help="the site file: its history is looked at")] = None,
    given: Annotated[Path | None, typer.Option("--input", help="table (csv) with time, tag, value, instead of a site's history")] = None,
    start: Annotated[str, typer.Option("--from", help="ISO 8601 with a zone, or '15m', '2h', '3d' back from now")] = "1d",
    end: Annotated[str, typer.Option("--to", help="the same; 'now'")] = "now",
    tag: Annotated[list[str] | None, typer.Option("--tag", help="only tags that fit; a pattern as in rules, may be repeated")] = None,
    from_log: Annotated[bool, typer.Option("--from-log", help="what gateways sent, out of the site log, instead of the historian")] = False,
    limit: Annotated[int, typer.Option(help="verdicts shown; all are counted")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per verdict, then a summary")] = False,
) -> None:
    """Show what rules would have said of history: every reading that breaks one, with verdict and reasons. Changes nothing."""
    try:
        definitions = read_definitions(file)
        if given is not None and site is None:
            past = _table(given, definitions, tag or [])
            _tell(definitions, past, limit, as_json=as_json)
        elif site is not None and given is None:
            with _site(site, definitions, tag or [], moment(start), moment(end), from_log=from_log) as past:
                _tell(definitions, past, limit, as_json=as_json)
        else:
            fail("say where history is: either '--site site.yaml' or '--input table.csv'", 2)
    except (ValueError, Misconfigured) as error:
        fail(str(error), 2)
    except RetryLater as error:
        fail(f"{error}: is 'trunkline up {site}' running?", 3)


def _table(path: Path, definitions: Definitions, patterns: list[str]) -> _Past:
    rows = read_csv(path)
    if not rows:
        fail(f"{path} has no readings", 2)
    names = {kind: name for name, kind in KINDS.items()}
    values: dict[str, list[Any]] = {}
    for row in rows:
        values.setdefault(row.tag, []).append(row.value)
    tags = {name: TagConfig.model_validate({"path": name, "kind": names[kind_of(found)]}) for name, found in values.items()}
    judged, needed = _judged(definitions, tags, patterns, str(path))
    until = max(row.time for row in rows)
    return _Past(judged, tags, ValidationConfig(), until, batches([row for row in rows if row.tag in needed], _BATCH))


@contextmanager
def _site(file: Path, definitions: Definitions, patterns: list[str], begin: int, until: int, *, from_log: bool) -> Iterator[_Past]:
    site = load(file)
    tags = {path: entry.tag for path, entry in site.tags().items()}
    judged, needed = _judged(definitions, tags, patterns, str(file))
    config = site.config.validation
    if from_log:
        with site_log(site) as log:
            yield _Past(judged, tags, config, until, logged(site, log, needed, begin, until))
    else:
        with historian_reader(site) as reader:
            yield _Past(judged, tags, config, until, stored(reader, sorted(needed), begin, until))


def _judged(definitions: Definitions, tags: dict[str, TagConfig], patterns: list[str], where: str) -> tuple[set[str], set[str]]:
    judged, needed = tags_of(definitions, tags, patterns)
    if not judged:
        chosen = f" and fits {', '.join(patterns)}" if patterns else ""
        fail(f"no tag of {where} is judged by a rule of the file{chosen}: look at 'tags:' of the rules", 2)
    return judged, needed


def _tell(definitions: Definitions, past: _Past, limit: int, *, as_json: bool) -> None:
    counts = _Counts()
    shown: list[Finding] = []
    for one in run(definitions, past.tags, past.config, past.counted(), past.until):
        if one.tag not in past.judged:
            continue
        counts.add(one)
        if counts.verdicts.total() <= limit:
            if as_json:
                emit(_plain(one))
            else:
                shown.append(one)
    if as_json:
        verdicts, rules, tags = dict(counts.verdicts), dict(counts.rules), dict(counts.tags.most_common())
        emit({"readings": past.readings, "found": counts.verdicts.total(), "verdicts": verdicts, "rules": rules, "tags": tags})
        return
    table = Table(Column("time", no_wrap=True), Column("tag", no_wrap=True), "value", "verdict", "reasons", box=None)
    for one in shown:
        value = "" if one.value is None else str(one.value)[:24]
        verdict = one.verdict if one.kept or one.verdict != "BAD" else "BAD, kept out"
        why = "; ".join(f"{rule}: {words}" for rule, words in one.reasons)
        table.add_row(*map(plain, (times.to_iso(one.time), one.tag, value, verdict, why)))
    if shown:
        people.print(table)
    found = counts.verdicts.total()
    people.print(f"{past.readings:,} readings looked at, {found:,} verdicts" + (f", the first {limit:,} shown" if found > limit else ""))
    for title, counter in (("verdict", counts.verdicts), ("rule", counts.rules), ("tag", counts.tags)):
        for name, count in counter.most_common(10):
            people.print(f"  {title} {plain(name)}: {count:,}")


def _plain(one: Finding) -> dict[str, Any]:
    return {
        "time": times.to_iso(one.time),
        "tag": one.tag,
        "value": one.value,
        "verdict": one.verdict,
        "kept": one.kept,
        "reasons": [{"rule": rule, "why": words} for rule, words in one.reasons],
    }
