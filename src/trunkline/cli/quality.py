"""`trunkline quality`: how good history is, and what people say of it."""

from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from trunkline.cli.moment import moment
from trunkline.cli.output import emit, fail, people, plain
from trunkline.config.loading import Site, SiteTag, load
from trunkline.historian import quality
from trunkline.historian.quality import Share
from trunkline.historian.reader import UnknownTag
from trunkline.log.codec.events import encode_event
from trunkline.log.opening import layout_of
from trunkline.log.port import Record
from trunkline.model import times
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.model.reading import Category
from trunkline.model.tags import SEPARATOR
from trunkline.processing.rules.overrides import SAID, override_event
from trunkline.supervisor.wiring import historian_reader, site_log

app = typer.Typer(help="How good history is, and what people say of it.", no_args_is_help=True)

SiteFile = Annotated[Path, typer.Argument(help="the site file")]
_SHOWN = 20


@app.command()
def report(
    file: SiteFile,
    under: Annotated[str, typer.Option(help="only this asset and what is below it, or this tag")] = "",
    start: Annotated[str, typer.Option("--from", help="ISO 8601 with a zone, or '15m', '2h', '3d' back from now")] = "1d",
    end: Annotated[str, typer.Option("--to", help="the same; 'now'")] = "now",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per tag and day, then a summary")] = False,
) -> None:
    """Show for how long tags were GOOD, by tag, asset and day, and why they were not."""
    try:
        begin, until = moment(start), moment(end)
        if until <= begin:
            fail(f"the time runs backwards: from {times.to_iso(begin)} to {times.to_iso(until)}", 2)
        site = load(file)
        tags = {path: entry for path, entry in site.tags().items() if not under or path == under or path.startswith(under + SEPARATOR)}
        if not tags:
            fail(f"{file} has no tag at or below {under!r}", 2)
        spans = quality.days(begin, until, site.config.timezone)
        with historian_reader(site) as reader:
            found: dict[str, dict[str, Share]] = {}
            for path, entry in tags.items():
                try:
                    found[path] = quality.of_tag(reader, path, spans, _hold(entry))
                except UnknownTag:  # never stored anything
                    found[path] = {name: Share(nothing=last - first) for name, first, last in spans}
            broken = quality.broken_rules(reader, begin, until, under)
    except (ValueError, Misconfigured) as error:
        fail(str(error), 2)
    except RetryLater as error:
        fail(f"{error}: is 'trunkline up {file}' running?", 3)
    if as_json:
        _print_json(site, found, broken)
    else:
        _print(site, found, broken)


def _hold(entry: SiteTag) -> int:
    """Return µs that a reading of a tag holds: as long as it may be silent, and what is reported by exception until the next report."""
    stale = entry.tag.stale_after or entry.source.stale_after
    if entry.tag.deadband is None:
        return int(stale * times.SECOND)
    return int((entry.tag.max_silence + stale) * times.SECOND) if entry.tag.max_silence else 3_650 * times.DAY


def _sum(shares: Any) -> Share:  # noqa: ANN401 - any iterable of shares
    total = Share()
    for one in shares:
        total.add(one)
    return total


def _by_asset(found: dict[str, dict[str, Share]]) -> dict[str, Share]:
    assets: defaultdict[str, Share] = defaultdict(Share)
    for path, spans in found.items():
        assets[path.rpartition(SEPARATOR)[0]].add(_sum(spans.values()))
    return dict(assets)


def _plain(one: Share) -> dict[str, Any]:
    seconds = {name: round(getattr(one, name) / times.SECOND, 3) for name in ("good", "uncertain", "bad", "nothing")}
    reasons = {words: round(lasts / times.SECOND, 3) for words, lasts in one.worst()}
    return {"percent_good": round(one.percent_good, 3), "seconds": seconds, "reasons": reasons}


def _print_json(site: Site, found: dict[str, dict[str, Share]], broken: list[tuple[str, str, int]]) -> None:
    for path, spans in found.items():
        for day, one in spans.items():
            emit({"tag": path, "day": day, **_plain(one)})
    total = _sum(one for spans in found.values() for one in spans.values())
    emit(
        {
            "site": site.name,
            "tags": len(found),
            **_plain(total),
            "assets": {asset: _plain(one) for asset, one in _by_asset(found).items()},
            "rules": [{"tag": tag, "rule": rule, "readings": count} for tag, rule, count in broken],
        }
    )


def _print(site: Site, found: dict[str, dict[str, Share]], broken: list[tuple[str, str, int]]) -> None:
    by_tag = sorted(((path, _sum(spans.values())) for path, spans in found.items()), key=lambda one: (one[1].percent_good, one[0]))
    people.print(_table("worst tags", by_tag[:_SHOWN]))
    by_asset = sorted(_by_asset(found).items(), key=lambda one: (one[1].percent_good, one[0]))
    people.print(_table("worst assets", by_asset[:_SHOWN]))
    names = next(iter(found.values()))
    people.print(_table(f"day ({site.config.timezone})", [(day, _sum(spans[day] for spans in found.values())) for day in names]))
    if broken:
        table = Table("rule", "tag", "readings", box=None)
        for tag, rule, count in broken[:_SHOWN]:
            table.add_row(plain(rule), plain(tag), f"{count:,}")
        people.print(table)
    total = _sum(share for _, share in by_tag)
    people.print(f"{len(found):,} tags, {total.percent_good:.2f} % of the time good")


def _table(title: str, rows: list[tuple[str, Share]]) -> Table:
    table = Table(title, "good %", "uncertain %", "bad %", "no reading %", "why", box=None)
    for name, one in rows:
        parts = (one.good, one.uncertain, one.bad, one.nothing)
        why = ", ".join(f"{words} {lasts / times.SECOND:,.0f} s" for words, lasts in one.worst()[:3])
        table.add_row(plain(name), *(f"{100 * part / one.total if one.total else 0:.2f}" for part in parts), plain(why))
    return table


@app.command()
def override(
    file: SiteFile,
    tag: Annotated[str, typer.Argument(help="tag path")],
    said: Annotated[str, typer.Option("--quality", help="good, uncertain, bad, or 'rules' to withdraw what was said before")],
    author: Annotated[str, typer.Option(help="who says so")],
    reason: Annotated[str, typer.Option(help="why, in words")],
    start: Annotated[str, typer.Option("--from", help="ISO 8601 with a zone, 'now', or '15m', '2h' back from now")] = "now",
    end: Annotated[str, typer.Option("--to", help="ISO 8601 with a zone: first time after the span")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Say what the quality of a tag's readings is, for those that arrive from now on with times in the span."""
    try:
        begin, until = moment(start), moment(end) if end else 0
        site = load(file)
        if tag not in site.tags():
            fail(f"{file} has no tag {tag!r}", 2)
        if said not in SAID:
            fail(f"{said!r} cannot be said of a quality: use one of {', '.join(SAID)}", 2)
        if not author.strip() or not reason.strip():
            fail("say who (--author) and why (--reason): an override is never silent", 2)
        if until <= begin:
            fail("give '--to', the first time after the span, later than '--from'", 2)
        if site.config.validation.members > 1:
            fail("several members of validation share the tags, and one alone would hear of it: write 'validation: {members: 1}'", 2)
        event = override_event(tag, begin, until, said, author.strip(), reason.strip(), times.now())
        layout = layout_of(site.config.log)
        place = layout.event_place(Category.EVENT, event.asset.encode())
        with site_log(site) as log:
            log.append(place.topic, [Record(encode_event(event), event.asset.encode(), partition=place.partition)])
    except (ValueError, Misconfigured) as error:
        fail(str(error), 2)
    except RetryLater as error:
        fail(str(error), 3)
    if as_json:
        emit({"id": event.id, "tag": tag, "quality": said, "from": times.to_iso(begin), "to": times.to_iso(until), "author": author})
    else:
        people.print(f"said of {plain(tag)}: {plain(event.text)} (event {event.id})")
