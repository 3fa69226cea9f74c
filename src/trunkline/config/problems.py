"""What is wrong with a site file: where, what, and how to mend it."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from trunkline.model.errors import Misconfigured

Severity = Literal["error", "warning"]
Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong.

    Attributes:
        file: as it was given on the command line.
        line, column: from 1; where the key or value stands.
        path: dotted path, for example gateways[0].sources[2].tags[5].node; empty for the file itself.
        message: what is wrong; never holds the value of a secret.
        mend: what to do about it; may be empty when the message says so already.
        severity: an 'error' keeps the site from starting, a 'warning' does not.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    mend: str = ""
    severity: Severity = "error"


class InvalidSite(Misconfigured):
    """The site file has errors; the text lists every one of them.

    Attributes:
        problems: all of them, warnings included, in the order of the file.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(render(problems))
        self.problems = tuple(problems)


def dotted(location: Location) -> str:
    """Return ('gateways', 0, 'id') as 'gateways[0].id'."""
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that somebody who typed `word` probably meant, or None."""
    by_folded = {name.casefold().replace("-", "_"): name for name in known}
    found = difflib.get_close_matches(word.casefold().replace("-", "_"), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str], what: str) -> str:
    """Return a sentence that offers the nearest known word, and all of them when they are few."""
    names = sorted(known)
    guess = nearest(word, names)
    listed = f"{what}: {', '.join(names)}" if names and len(names) <= 24 else ""
    return "; ".join(part for part in (f"did you mean {guess!r}?" if guess else "", listed) if part)


def errors(problems: Iterable[Problem]) -> list[Problem]:
    """Return those that keep the site from starting."""
    return [problem for problem in problems if problem.severity == "error"]


def render(problems: Sequence[Problem], *, limit: int = 200) -> str:
    """Return plain text for people: one problem a paragraph in the form editors can jump to, then a count.

    Args:
        problems: what `trunkline.config.loading.check` returned.
        limit: how many to write out; the rest is only counted.
    """
    lines: list[str] = []
    for problem in problems[:limit]:
        where = f" {problem.path}:" if problem.path else ""
        lines.append(f"{problem.file}:{problem.line}:{problem.column}: {problem.severity}:{where} {problem.message}")
        if problem.mend:
            lines.append(f"    mend: {problem.mend}")
    if len(problems) > limit:
        lines.append(f"… and {len(problems) - limit} more")
    wrong = len(errors(problems))
    warned = len(problems) - wrong
    counts = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in ((wrong, "error"), (warned, "warning")) if count]
    lines.append(", ".join(counts) or "no problems")
    return "\n".join(lines)
