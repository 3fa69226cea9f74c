"""What the documentation says exists: files it links to, commands and options it shows."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from trunkline.cli.main import app

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^\s*```(\w*)\n(.*?)^\s*```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
UNFINISHED = re.compile(r"\b(TODO|FIXME|TBD|XXX|lorem ipsum|coming soon|to be written|placeholder text)\b", re.IGNORECASE)
#: What a document writes where the reader puts something of their own.
STAND_INS = ("…", "...", "[", "<")


def pages() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    found = [ROOT / name for name in listed] or [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.md")]
    return [page for page in found if page.exists()]


PAGES = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))


def slug(heading: str) -> str:
    """Return a heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@PAGES
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.relative_to(ROOT)} links to {target}, which does not exist"
        if anchor and file.suffix == ".md":
            anchors = [slug(line.lstrip("#")) for line in file.read_text().splitlines() if line.startswith("#")]
            assert anchor in anchors, f"{page.relative_to(ROOT)} links to {target}, which has no such heading"


def shown_commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every `trunkline …` that a page shows, in blocks and in the text."""
    blocks = [body for kind, body in FENCE.findall(text) if kind in {"sh", "bash", "console", ""}]
    lines = [line.strip().removeprefix("$ ") for body in blocks for line in body.replace("\\\n", " ").splitlines()]
    spans = SPAN.findall(FENCE.sub("", text))
    for line in [*lines, *spans]:
        for match in re.finditer(r"(?:^|[\s(/])trunkline ((?:[^|;&()`]|\$\()*)", line):
            if line.startswith(("#", "from ", "import ")):
                continue
            try:
                yield shlex.split(match[1], comments=True)
            except ValueError:
                yield match[1].split()


def problem(words: list[str]) -> str | None:
    """Return what is wrong with a command line, or None: its commands and options must exist."""
    command = get_command(app)
    context = typer.Context(command)
    while words and hasattr(command, "commands"):
        name = words[0]
        if name.startswith(STAND_INS) or name.isupper():
            return None
        found = command.commands.get(name)
        if found is None:
            return None if name.startswith("--") and name in {"--help", "--version"} else f"there is no command {name!r}"
        command, words = found, words[1:]
    options = {name for parameter in command.get_params(context) for name in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        name = word.partition("=")[0]
        if re.match(r"--?[a-z]", name) and name not in options:
            return f"{command.name} has no option {name!r}"
    return None


@PAGES
def test_every_command_shown_exists_with_its_options(page: Path) -> None:
    for words in shown_commands(page.read_text()):
        assert (wrong := problem(words)) is None, f"{page.relative_to(ROOT)} shows 'trunkline {' '.join(words)}': {wrong}"


def test_a_wrong_command_would_be_noticed() -> None:
    assert problem(["up", "site.yaml", "--for", "20", "--headless"]) is None
    assert problem(["run", "gateway", "site.yaml", "--id", "gw1"]) is None
    assert problem(["deadletter", "list", "site.yaml"]) is None
    assert problem(["ledgr", "site.yaml"]) == "there is no command 'ledgr'"
    assert problem(["lab", "fault", "unplugg", "all"]) == "there is no command 'unplugg'"
    assert problem(["up", "site.yaml", "--hedless"]) == "up has no option '--hedless'"
    assert list(shown_commands("```sh\n.venv/bin/trunkline status a | head\n```\nuse `trunkline up a`")) == [["status", "a"], ["up", "a"]]


@PAGES
def test_nothing_is_left_to_fill_in(page: Path) -> None:
    unfinished = re.findall(
        r"\b(TODO|FIXME|TBD|XXX|lorem ipsum|coming soon|to be written|placeholder text)\b", page.read_text(), re.IGNORECASE
    )
    assert unfinished == []
