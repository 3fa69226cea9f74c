"""A drill's page: verdict, figures and pictures, in one file that needs nothing from elsewhere."""

import html
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from trunkline import __version__
from trunkline.drills.course import Course
from trunkline.drills.outcome import Figure, Outcome
from trunkline.drills.pictures import Line, Marks, Picture, picture, short
from trunkline.model import times

_STYLE: Final = """
:root { color-scheme: light dark; --back: #eceef0; --surface: #f7f8f9; --line: #cfd4d9; --text: #1d2125; --dim: #5c656e;
  --a: #1f6ca8; --b: #8a6d00; --c: #5c656e; --bad: #c81e1e; --away: #dde1e5 }
@media (prefers-color-scheme: dark) { :root { --back: #14171a; --surface: #1b1f23; --line: #323840; --text: #d6dade; --dim: #8a939c;
  --a: #6ea8d9; --b: #f2d13c; --c: #8a939c; --bad: #ff5b52; --away: #242930 } }
body { background: var(--back); color: var(--text); font: 14px system-ui, sans-serif; margin: 0 auto; max-width: 900px; padding: 16px }
h1 { font-size: 20px; font-weight: 600; margin: 8px 0 }
p { margin: 4px 0 12px }
section, figure { background: var(--surface); border: 1px solid var(--line); margin: 12px 0; padding: 12px }
table { border-collapse: collapse; width: 100% }
td { border-top: 1px solid var(--line); padding: 4px 8px 4px 0; vertical-align: top }
tr:first-child td { border-top: 0 }
td:nth-child(2) { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap }
svg { display: block; width: 100% }
.dim, figcaption { color: var(--dim) }
.failed { color: var(--bad) }
.grid { stroke: var(--line) }
.axis { fill: var(--dim); font: 11px system-ui, sans-serif }
.away { fill: var(--away) }
.kill { stroke: var(--text) }
.line { fill: none; stroke-width: 1.5 }
.line.a { stroke: var(--a) } .key.a { color: var(--a) }
.line.b { stroke: var(--b); stroke-dasharray: 6 3 } .key.b { color: var(--b) }
.line.c { stroke: var(--c); stroke-dasharray: 2 2 } .key.c { color: var(--c) }
"""


def write_report(file: Path, outcome: Outcome) -> None:
    """Write the page."""
    facts = outcome.document()
    body = "".join((_verdict(outcome, facts), _figures(outcome, facts), _pictures(outcome.course, outcome.own.pictures), _problems(facts)))
    file.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Drill: {outcome.name}</title><style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


def _verdict(outcome: Outcome, facts: dict[str, Any]) -> str:
    plan = outcome.plan
    pace = "at their own pace" if plan.paced else "as quickly as the machine could"
    history = f"{facts['days']:g} d {pace}" if plan.steps > 1 else f"read every {plan.period_us / times.SECOND:g} s"
    if outcome.sabotage:
        words = "The planted defect was noticed." if outcome.passed else "The planted defect was not noticed."
    elif outcome.passed:
        words = (
            f"Every reading that the gateway took in is accounted for: {facts['stored']:,} stored, {facts['dropped']:,} given up on record."
        )
    else:
        words = "Not every promise was kept: what does not agree is listed below."
    return (
        f"<h1>Drill: {outcome.name}</h1><p{'' if outcome.passed else ' class=failed'}>{words}</p>"
        f'<p class="dim">Gateway {html.escape(plan.gateway)}, {len(plan.tags):,} tags, {history}, seed {plan.seed}. '
        f"trunkline {__version__}, "
        f"{times.to_iso(times.now())[:16]}Z. Shaded: the link was down. Ticks: a kill, or a clock that stepped.</p>"
    )


def _figures(outcome: Outcome, facts: dict[str, Any]) -> str:
    disk = facts["disk_mb"]
    lines = [
        Figure("taken in and acknowledged", f"{facts['acknowledged']:,}", f"{facts['live_readings']:,} of them live, beside the backlog"),
        Figure("stored", f"{facts['stored']:,}"),
        Figure("lost · doubled · changed", f"{facts['lost']:,} · {facts['doubled']:,} · {facts['changed']:,}", "compared one by one"),
        Figure("given up on record", f"{facts['dropped']:,}", "by the buffer's limits; each range is an event"),
        Figure("refused by validation", f"{facts['rejected']:,}"),
        Figure("ledger", "balanced" if facts["ledger_balanced"] else "not balanced"),
        Figure(
            "kills · cuts",
            f"{facts['kills']} · {facts['cuts']}",
            "of processes; cuts of the link",
        ),
        *(_rates(facts) if facts["feed_rate"] else ()),
        Figure("live readings, 99th percentile", _seconds(facts["live_p99_s"]), "until they are in the site log"),
        Figure("memory at most", f"{facts['memory_mb']:,.0f} MB", "of the gateway"),
        Figure(
            "disk before · at most · after", f"{disk['before']:g} · {disk['most']:g} · {disk['after'] or 0:g} MB", "of the edge journal"
        ),
        *outcome.own.figures,
    ]
    cells = "".join(f'<tr><td>{name}</td><td>{value}</td><td class="dim">{words}</td></tr>' for name, value, words in lines)
    return f"<section><table>{cells}</table></section>"


def _rates(facts: dict[str, Any]) -> tuple[Figure, Figure]:
    return (
        Figure("taking in", _rate(facts["feed_rate"]), "durable before it is acknowledged, starts after kills included"),
        Figure("catching up", _rate(facts["drain_rate"]), f"{facts['drain_of_peak'] or 0:.0%} of its best rate over three seconds"),
    )


def _pictures(course: Course, own: Sequence[Picture]) -> str:
    samples = course.samples
    seconds = samples[-1].seconds if samples else 1.0
    away = [(one.seconds, other.seconds) for one, other in pairwise(samples) if not one.link]
    marks = Marks(_joined(away), [moment for moment, words in course.marks if words in {"kill", "clock"}])
    late = zip(course.delays.moments, course.delays.seconds, strict=True)
    delays = sorted(((moment - course.began) / times.SECOND, delay) for moment, delay in late)
    return "".join(
        (
            picture(
                "Readings waiting at the edge",
                "readings",
                [Line("waiting", [(one.seconds, one.waiting) for one in samples])],
                seconds,
                marks,
            ),
            picture(
                "Readings so far",
                "readings",
                [
                    Line("taken in", [(one.seconds, one.read) for one in samples]),
                    Line("forwarded", [(one.seconds, one.forwarded) for one in samples], "b"),
                    Line("given up", [(one.seconds, one.dropped) for one in samples if one.dropped], "c"),
                ],
                seconds,
                marks,
            ),
            picture("Delay of live readings until they are in the site log", "s", [Line("delay", delays)], seconds, marks),
            picture(
                "Memory of the gateway",
                "MB",
                [Line("resident", [(one.seconds, one.memory / 1e6) for one in samples if one.memory])],
                seconds,
                marks,
            ),
            picture("Disk of the edge journal", "MB", [Line("files", [(one.seconds, one.disk / 1e6) for one in samples])], seconds, marks),
            *(picture(one.title, one.unit, one.lines, seconds, marks) for one in own),
        )
    )


def _problems(facts: dict[str, Any]) -> str:
    if not facts["problems"]:
        return ""
    return (
        f"<section><p>What does not agree</p><ul>{''.join(f'<li>{html.escape(words)}</li>' for words in facts['problems'])}</ul></section>"
    )


def _joined(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return neighbouring spans as one."""
    found: list[tuple[float, float]] = []
    for low, high in spans:
        if found and found[-1][1] == low:
            found[-1] = (found[-1][0], high)
        else:
            found.append((low, high))
    return found


def _rate(value: float | None) -> str:
    return f"{short(value)}/s" if value else "—"


def _seconds(value: float | None) -> str:
    return f"{value:.2f} s" if value is not None else "—"
