"""Draws docs/images/rule-<case>.png from the golden cases of quality rules: the readings, and what the rules say of them.

What a picture shows is what the test of that case proves (tests/processing/rules).
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parent.parent
CASES = ROOT / "tests" / "processing" / "rules" / "cases"
IMAGES = ROOT / "docs" / "images"
WORDS = {"true": 1.0, "false": 0.0}
STYLES = {"UNCERTAIN": ("tab:orange", "^"), "BAD": ("tab:red", "X"), "DROPPED": ("tab:gray", "v"), "GAP": ("tab:blue", "s")}


def rows(file: Path) -> list[dict[str, str]]:
    """Return the lines of a table."""
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def number(text: str) -> float:
    """Return a value as a height: truths are 0 and 1, texts and absent values have none."""
    try:
        return WORDS[text.lower()] if text.lower() in WORDS else float(text)
    except ValueError:
        return float("nan")


def by_tag(given: list[dict[str, str]]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Yield tags with their lines, in order of time."""
    for tag in dict.fromkeys(row["tag"] for row in given):
        yield tag, sorted((row for row in given if row["tag"] == tag), key=lambda row: row["time"])


def draw(axes: Axes, tag: str, readings: list[dict[str, str]], found: list[dict[str, str]]) -> None:
    """Draw one tag."""
    axes.plot(
        [np.datetime64(row["time"].rstrip("Z")) for row in readings],
        [number(row["value"]) for row in readings],
        "-o",
        color="0.6",
        ms=3,
        lw=1,
        drawstyle="steps-post",
    )
    for verdict, (colour, marker) in STYLES.items():
        mine = [row for row in found if row["tag"] == tag and row["verdict"] == verdict]
        low = axes.get_ylim()[0]
        heights = [number(row["value"]) if row["value"] else low for row in mine]
        axes.plot(
            [np.datetime64(row["time"].rstrip("Z")) for row in mine],
            heights,
            marker,
            color=colour,
            ms=7,
            ls="",
            label=verdict if mine else None,
        )
    axes.set_ylabel(tag.rpartition(".")[2], fontsize=7)
    axes.tick_params(labelsize=6)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=6, frameon=False, loc="best")


def main() -> None:
    """Draw every case."""
    for case in sorted(CASES.iterdir()):
        found = rows(case / "expected.csv")
        tags = [
            (tag, given)
            for tag, given in by_tag(rows(case / "input.csv"))
            if any(number(row["value"]) == number(row["value"]) for row in given)
        ]
        figure, all_axes = plt.subplots(len(tags), 1, figsize=(6.4, 0.6 + 1.3 * len(tags)), sharex=True, squeeze=False)
        for axes, (tag, given) in zip(all_axes[:, 0], tags, strict=True):
            draw(axes, tag, given, found)
        figure.autofmt_xdate(rotation=0, ha="center")
        figure.tight_layout()
        figure.savefig(IMAGES / f"rule-{case.name}.png", dpi=110, metadata={"Software": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
