"""Draws what docs/how-to/alarms.md shows, from the golden cases: `python tools/alarm_pictures.py [DIRECTORY]`.

Each picture has the readings of a case, its limits, and beneath them when each alarm stood, as the alarm book says of the same readings.
"""

import sys
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import yaml

mpl.use("Agg")
import matplotlib.pyplot as plt  # the backend comes first
from matplotlib.axes import Axes

from trunkline.config.alarms import AlarmsConfig
from trunkline.config.tags import KINDS, TagConfig
from trunkline.model import times
from trunkline.model.alarms import GATEWAY_STATES, Lifecycle, State
from trunkline.model.quality import Severity, severity
from trunkline.processing.alarms import AlarmBook
from trunkline.processing.history import Row, batches, kind_of, read_csv

ROOT: Final = Path(__file__).parents[1]
CASES: Final = ROOT / "tests/processing/alarms/cases"
DEFAULT: Final = ROOT / "docs/images"
SHOWN: Final = (
    "high", "low-low", "delays", "deviation", "deviation-setpoint-tag", "rate", "discrete", "stale", "fault", "expression", "latching",
    "suppressed-by-design",
)  # fmt: skip
_BLUE, _GREY, _RED, _AMBER = "#3b6ea5", "#8a8f98", "#c0392b", "#d9a441"
_COLOURS: Final = {"ACTIVE": _RED, "ACKNOWLEDGED": _AMBER, "SUPPRESSED": _GREY}


def stands(settings: AlarmsConfig, rows: list[Row]) -> dict[str, list[tuple[float, float, State]]]:
    """Return, by definition, from when to when (seconds) an alarm was in which state."""
    names = {kind: name for name, kind in KINDS.items()}
    values = {row.tag: [one.value for one in rows if one.tag == row.tag] for row in rows}
    tags = {tag: TagConfig.model_validate({"path": tag, "kind": names[kind_of(found)]}) for tag, found in values.items()}
    book, begin, last = AlarmBook(settings, tags), rows[0].time, max(row.time for row in rows)
    events = [event for batch in batches(rows, len(rows)) for event in book.evaluate(batch, last)]
    events += book.tick(last + 3 * times.SECOND)
    found: dict[str, list[tuple[float, float, State]]] = {one.id: [] for one in settings.definitions}
    for event in sorted(events, key=lambda one: one.time):
        life = Lifecycle.of(event)
        if life is None:
            continue
        own, moment = found[life.rule], (event.time - begin) / times.SECOND
        if own:
            own[-1] = (own[-1][0], moment, own[-1][2])
        own.append((moment, (last - begin) / times.SECOND + 1, life.state))
    return found


def draw(case: Path, file: Path) -> None:
    """Write one picture."""
    settings = AlarmsConfig.model_validate(yaml.safe_load((case / "rule.yaml").read_text("utf-8")))
    rows = read_csv(case / "input.csv")
    alarms = stands(settings, rows)
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(7.2, 2.9), sharex=True, height_ratios=(4, 0.5 + 0.5 * len(alarms)), layout="constrained"
    )
    _readings(upper, rows)
    for definition in settings.definitions:
        _limits(upper, definition.model_dump())
    for place, (name, parts) in enumerate(alarms.items()):
        for begin, end, state in parts:
            colour = _COLOURS.get(GATEWAY_STATES[state].value)
            if colour or state is State.RETURNED_UNACKNOWLEDGED:
                lower.barh(place, end - begin, left=begin, color=colour or "white", edgecolor=colour or _RED, height=0.6)
        lower.text(-0.01, place, name, transform=lower.get_yaxis_transform(), ha="right", va="center", fontsize=8)
    lower.set_yticks([])
    lower.set_ylim(-0.6, len(alarms) - 0.4)
    lower.invert_yaxis()
    lower.set_xlabel("seconds", fontsize=8)
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    figure.savefig(file, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _readings(axes: Axes, rows: list[Row]) -> None:
    begin, styles = rows[0].time, iter(((_BLUE, "o"), (_GREY, "s"), ("#6b4fa0", "^")))
    own = {tag: [row for row in rows if row.tag == tag] for tag in dict.fromkeys(row.tag for row in rows)}
    worded = {tag for tag, found in own.items() if any(isinstance(row.value, bool | str) for row in found)}
    beside = axes.twinx() if worded and worded != own.keys() else axes
    if any(isinstance(row.value, bool) for row in rows):
        beside.yaxis.update_units(["off", "on"])
    for tag, found in own.items():
        colour, marker = next(styles)
        good = [row for row in found if row.value is not None and severity(row.quality) is not Severity.BAD]
        seconds = [(row.time - begin) / times.SECOND for row in good]
        values = [("on" if row.value else "off") if isinstance(row.value, bool) else row.value for row in good]
        look: dict[str, Any] = {"color": colour, "marker": marker, "ms": 4, "lw": 1.2, "label": tag.rpartition(".")[2]}
        (beside if tag in worded else axes).plot(
            seconds, values, drawstyle="steps-post" if tag in worded or tag.endswith("_SP") else "default", **look
        )
        for row in found:
            if row not in good:
                axes.axvline((row.time - begin) / times.SECOND, color=_GREY, ls=":", lw=1)
    for shown in {axes, beside}:
        shown.tick_params(labelsize=8)
        shown.spines["top"].set_visible(False)
    axes.figure.legend(fontsize=8, frameon=False, loc="outside upper right", ncols=3)


def _limits(axes: Axes, definition: dict[str, Any]) -> None:
    limit, back = definition["limit"], definition["deadband"]
    match definition["kind"]:
        case "high" | "high-high":
            edges, inner = [limit], [limit - back]
        case "low" | "low-low":
            edges, inner = [limit], [limit + back]
        case "deviation" if definition["setpoint"] is not None:
            aim = definition["setpoint"]
            edges, inner = [aim - limit, aim + limit], [aim - limit + back, aim + limit - back]
        case _:
            return
    for edge in edges:
        axes.axhline(edge, color=_RED, lw=1)
    for edge in inner if back else ():
        axes.axhline(edge, color=_RED, lw=0.8, ls="--")


def main(arguments: list[str]) -> None:
    """Draw every picture."""
    directory = Path(arguments[0]) if arguments else DEFAULT
    for name in SHOWN:
        draw(CASES / name, directory / f"alarm-{name}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
