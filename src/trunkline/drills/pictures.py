"""Small pictures of a drill as SVG, for a page that needs nothing from elsewhere."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

_WIDTH: Final = 860
_HEIGHT: Final = 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 10, 24
#: Points that a line is drawn with at most: more than that no screen shows.
_POINTS: Final = 800


class Line(NamedTuple):
    """A line of a picture.

    Attributes:
        name: for the legend.
        points: (seconds, value), ascending.
        style: class of the style sheet: 'a', 'b' or 'c'.
    """

    name: str
    points: Sequence[tuple[float, float]]
    style: str = "a"


class Picture(NamedTuple):
    """Lines of one unit.

    Attributes:
        title: what is shown.
        unit: of the values.
        lines: over the drill's seconds.
    """

    title: str
    unit: str
    lines: Sequence[Line]


class Marks(NamedTuple):
    """What is marked over time.

    Attributes:
        away: (begin, end) in seconds while the link was down: shaded.
        kills: seconds of kills, or of clocks that stepped: ticks at the top.
    """

    away: Sequence[tuple[float, float]] = ()
    kills: Sequence[float] = ()


def picture(title: str, unit: str, lines: Sequence[Line], seconds: float, marks: Marks) -> str:
    """Return an SVG of values over the seconds of the drill, from zero up.

    Args:
        title: what is shown.
        unit: of the values.
        lines: what to draw; an empty one is left out.
        seconds: how long the drill took.
        marks: what is marked.
    """
    shown = [line for line in lines if line.points]
    most = _nice(max((value for line in shown for _, value in line.points), default=1.0))
    across, up = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(moment: float) -> float:
        return _LEFT + across * moment / max(seconds, 1e-9)

    def y(value: float) -> float:
        return _TOP + up * (1 - value / most)

    parts = [
        f'<rect class="away" x="{x(low):.1f}" y="{_TOP}" width="{max(1.0, x(high) - x(low)):.1f}" height="{up}"/>'
        for low, high in marks.away
    ]
    for step in range(5):
        value = most * step / 4
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text class="axis" x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{short(value)}</text>')
    for step in range(6):
        moment = seconds * step / 5
        anchor = "end" if step == 5 else "middle"
        parts.append(f'<text class="axis" x="{x(moment):.1f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{moment:.0f} s</text>')
    parts += [f'<line class="kill" x1="{x(kill):.1f}" x2="{x(kill):.1f}" y1="{_TOP}" y2="{_TOP + 6}"/>' for kill in marks.kills]
    for line in shown:
        path = " ".join(f"{x(moment):.1f},{y(value):.1f}" for moment, value in thinned(line.points))
        parts.append(f'<polyline class="line {line.style}" points="{path}"/>')
    legend = " · ".join(f'<span class="key {line.style}">{line.name}</span>' for line in shown)
    return (
        f"<figure><figcaption>{title}, {unit}: {legend or 'nothing was measured'}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}, {unit}">{"".join(parts)}</svg></figure>'
    )


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return no more points than a screen shows: of neighbours the highest, so that no peak is lost."""
    width = max(1, -(-len(points) // _POINTS))
    return [max(points[begin : begin + width], key=lambda point: point[1]) for begin in range(0, len(points), width)]


def short(value: float) -> str:
    """Return a number with k, M or G."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {letter}"
    return f"{value:.3g}"


def _nice(value: float) -> float:
    """Return the next round number."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10, 20) if step * power >= value)
