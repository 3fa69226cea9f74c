"""Writes docs/reference/requirements.md: each requirement row, the tests that prove it and the pages that speak of it.

The rows are found where their IDs stand: in docstrings of tests, benches and drills, and in pages. `--check` fails when the page is old.
"""

import argparse
import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference" / "requirements.md"
ROW = re.compile(r"\b(?:PD|ED|GD|TD|P|W|D|E|G|T)-\d{1,3}\b")
SPAN = re.compile(r"\b((?:PD|ED|GD|TD|P|W|D|E|G|T)-)(\d{1,3})(?:…|\.\.\.| to )\1?(\d{1,3})\b")

HEAD = """# Requirements and their proofs

Which test proves a row, and which page speaks of it. `P`, `PD` rows: plant ingestion; `W`, `D`: industrial gateway; `E`, `ED`: petroleum
events; `T`: wells; `G`, `GD`: grid. Made by `tools/requirements_page.py` from the IDs in tests and pages; do not edit.

| row | proved by | described in |
| --- | --- | --- |
"""


def rows_in(text: str) -> set[str]:
    """Return the IDs in a text; spans such as 'P-40…P-42' count as every row in them."""
    found = set(ROW.findall(text))
    for prefix, first, last in SPAN.findall(text):
        found |= {f"{prefix}{number}" for number in range(int(first), int(last) + 1)}
    return found


def tests() -> Iterator[tuple[str, str]]:
    """Yield (row, place) for each test or drill whose docstring names a row."""
    files = [path for folder in ("tests", "src", "drills", "bench") for path in (ROOT / folder).rglob("*.py")]
    for path in sorted(files):
        relative = path.relative_to(ROOT).as_posix()
        if relative.startswith("src/") and "/tests/" not in relative:
            continue
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                name = "" if isinstance(node, ast.Module) else f"::{node.name}"
                for row in rows_in(ast.get_docstring(node) or ""):
                    yield row, f"{relative}{name}"


def pages() -> Iterator[tuple[str, str]]:
    """Yield (row, page) for each page that names a row."""
    for path in sorted([*(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("README.md")]):
        if path != PAGE:
            for row in rows_in(path.read_text()):
                yield row, path.relative_to(ROOT).as_posix()


def order(row: str) -> tuple[str, int]:
    """Sort by family, then number."""
    family, _, number = row.partition("-")
    return family, int(number)


def render() -> str:
    """Return the page."""
    proofs: dict[str, list[str]] = defaultdict(list)
    described: dict[str, list[str]] = defaultdict(list)
    for row, place in tests():
        proofs[row].append(place)
    for row, page in pages():
        described[row].append(page)
    lines = []
    for row in sorted({*proofs, *described}, key=order):
        tested = "<br>".join(f"`{place}`" for place in sorted(set(proofs[row])))
        spoken = "<br>".join(f"[{page}](../../{page})" for page in sorted(set(described[row])))
        lines.append(f"| {row} | {tested} | {spoken} |")
    return HEAD + "\n".join(lines) + "\n"


def main() -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the page is not up to date")
    arguments = parser.parse_args()
    page = render()
    if arguments.check:
        if not PAGE.exists() or PAGE.read_text() != page:
            sys.stderr.write(f"{PAGE.relative_to(ROOT)} is old: run tools/requirements_page.py\n")
            return 1
        return 0
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
