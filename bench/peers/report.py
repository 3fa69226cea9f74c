"""`python -m bench.peers.report [FIGURES]`: tables and picture of docs/benchmarks/kafka.md, from the JSON objects of `make bench-kafka`.

FIGURES holds one object a line. Of a figure that was run in several parts, each a line, the pairs of runs are put together. The text of the
page between the tables is written by hand; what lies between the markers is replaced.
"""

import argparse
import json
import re
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parents[2] / "docs" / "benchmarks"
PAGE: Final = FOLDER / "kafka.md"
PICTURE: Final = FOLDER / "kafka"

#: Ways, fastest to slowest as one expects, with their words; bars of the picture.
WAYS: Final = {
    "path.kafka.blocks2": "Trunkline, blocks, two processes",
    "path.kafka.blocks": "Trunkline, blocks, one process",
    "path.kafka.single2": "Trunkline, single Avro records, two processes",
    "path.kafka.single": "Trunkline, single Avro records, one process",
    "path.kafka.rows2": "Trunkline, blocks, narrow rows as well, two processes",
    "path.kafka.isa95": "Trunkline, isa95 envelopes as JSON",
    "psql-copy": "psql \\copy of a file: no Kafka, no positions",
    "debezium-jdbc": "Kafka Connect, Debezium JDBC sink",
    "tutorial": "tutorial's consumer, executemany",
}
#: Rates of the trial of 2026-11-21 (other PostgreSQL, text keys): not from this run, and drawn so.
TRIAL: Final = {"Telegraf (trial, see text)": 145_000, "Bento (trial, see text)": 126_000}


def merged(lines: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the figures by name, runs of one name put together."""
    figures: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        one = json.loads(line)
        if "rates" in one or "limit" in one:
            figures.setdefault(one["bench"], []).append(one)
    return {name: _together(parts) for name, parts in figures.items()}


def _together(parts: list[dict[str, Any]]) -> dict[str, Any]:
    if len(parts) == 1:
        return parts[0]
    rates = [rate for part in parts for rate in part["rates"]]
    peer_rates = [rate for part in parts for rate in part["peer_rates"]]
    whole = parts[-1] | {"rates": rates, "peer_rates": peer_rates, "runs": len(rates), "rate": statistics.median(rates)}
    if peer_rates:
        whole["peer_rate"] = statistics.median(peer_rates)
        whole["ratio"] = round(statistics.median(mine / theirs for mine, theirs in zip(rates, peer_rates, strict=True)), 3)
    elif whole.get("limit"):
        whole["ratio"] = round(whole["rate"] / whole["limit"], 3)
    for name in ("cpu_s", "rss_mb", "peer_cpu_s", "peer_rss_mb"):
        if name in whole:
            whole[name] = round(statistics.median(part[name] for part in parts), 2)
    for name in ("facts", "peer_facts"):
        whole[name] = {fact: round(statistics.median(part[name][fact] for part in parts), 3) for fact in whole[name]}
    whole["passed"] = whole["goal"] is None or whole["ratio"] >= whole["goal"]
    return whole


def rate_of(rate: float) -> str:
    """Return a rate as people read it: three digits, in thousands or millions."""
    return f"{rate / 1e6:.2f} M/s" if rate >= 1e6 else f"{rate / 1e3:.0f} k/s"


def ratios(figures: dict[str, dict[str, Any]]) -> str:
    """Return the table of ratios and goals."""
    rows = ["| figure | ours | peer | ratio | runs, ratio of each | goal | |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for name, one in figures.items():
        if one.get("peer"):
            beside = f"{one['peer']} {rate_of(one['peer_rate'])}"
            each = ", ".join(f"{mine / theirs:.2f}" for mine, theirs in zip(one["rates"], one["peer_rates"], strict=True))
        else:
            beside, each = f"limit {one['limit']:g} {one['unit']}", str(one["runs"])
        mine = rate_of(one["rate"]) if one["unit"].endswith("/s") else f"{one['rate']:g} {one['unit']}"
        goal = "" if one["goal"] is None else f"≥ {one['goal']:g}" if one["unit"].endswith("/s") else f"≤ {one['goal']:g}"
        rows.append(f"| `{name}` | {mine} | {beside} | {one['ratio']:.2f} | {each} | {goal} | {'' if one['passed'] else '**missed**'} |")
    return "\n".join(rows)


def costs(figures: dict[str, dict[str, Any]]) -> str:
    """Return the table of what each way took and cost."""
    rows = [
        "| way | readings/s | seconds | steady readings/s | processor s | of PostgreSQL | memory MB |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for way, side in ways(figures).items():
        facts = side["facts"]
        steady = rate_of(facts["steady_rate"]) if facts.get("steady_rate") else ""
        rows.append(
            f"| {WAYS[way]} | {rate_of(side['rate'])} | {facts['seconds']:.1f} | {steady} | {side['cpu_s']:.1f}"
            f" | {facts['server_cpu_s']:.1f} | {side['rss_mb']:.0f} |"
        )
    return "\n".join(rows)


def ways(figures: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return rate, cost and facts of each way; of a peer in several figures, those beside the first of `WAYS`."""
    found: dict[str, dict[str, Any]] = {}
    for name in WAYS:
        if name in figures:
            found[name] = figures[name]
        for one in figures.values():
            if one.get("peer") == name and name not in found:
                facts = {"rate": one["peer_rate"], "cpu_s": one["peer_cpu_s"], "rss_mb": one["peer_rss_mb"], "facts": one["peer_facts"]}
                found[name] = facts
    return found


def draw(figures: dict[str, dict[str, Any]]) -> None:
    """Draw the rates as bars."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to load

    bars = [(WAYS[way], side["rate"], "#1f5fa8" if way.startswith("path.") else "#8a8a8a") for way, side in ways(figures).items()]
    bars += [(name, rate, "#d9d9d9") for name, rate in TRIAL.items()]
    bars.sort(key=lambda bar: bar[1])
    picture = Figure(figsize=(9, 0.42 * len(bars) + 1), layout="constrained")
    axes = picture.subplots()
    drawn = axes.barh([name for name, _, _ in bars], [rate / 1e3 for _, rate, _ in bars], color=[colour for _, _, colour in bars])
    axes.bar_label(drawn, [rate_of(rate) for _, rate, _ in bars], padding=4, fontsize=8)
    axes.set(xlabel="thousand readings a second, from the start of the process to the last commit")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    picture.savefig(PICTURE.with_suffix(".svg"), metadata={"Date": None})
    picture.savefig(PICTURE.with_suffix(".png"), dpi=110)


def machine(figures: dict[str, dict[str, Any]]) -> str:
    """Return the machine and the versions, as the last figure tells them."""
    facts = list(figures.values())[-1]["conditions"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    loads = sorted(one["conditions"]["load_before"] for one in figures.values())
    return (
        f"{facts['cores']} cores ({facts['cpu']}), {facts['ram_gb']} GiB, Linux {facts['kernel']}; {versions}. "
        f"Load average before the figures: {loads[0]:g} to {loads[-1]:g}."
    )


def replaced(page: str, name: str, text: str) -> str:
    """Return the page with the text between the markers of `name` replaced."""
    begin, end = f"<!-- {name}: generated -->", f"<!-- end of {name} -->"
    changed, found = re.subn(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{text}\n{end}", page, flags=re.DOTALL)
    if not found:
        raise ValueError(f"the page has no markers for {name}")
    return changed


def main() -> None:
    """Write tables and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="?", type=Path, default=FOLDER / "kafka.jsonl", help="one JSON object a line")
    figures = merged(parser.parse_args().figures.read_text().splitlines())
    page = PAGE.read_text()
    for name, text in (("machine", machine(figures)), ("ratios", ratios(figures)), ("costs", costs(figures))):
        page = replaced(page, name, text)
    PAGE.write_text(page)
    draw(figures)


if __name__ == "__main__":
    main()
