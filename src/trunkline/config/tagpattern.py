"""Patterns that select tags by path: `*` stands for anything within one level, `**` for any number of levels."""

import re

_PART = re.compile(r"\*\*|[A-Z0-9*][A-Z0-9_*-]*")


class TagPattern:
    """A checked pattern, for example `PLANT01.*.UNIT_05.TEMP*` or `PLANT01.**.FLOW_RATE`. Raises ValueError with the mend."""

    def __init__(self, text: str) -> None:
        parts = text.split(".")
        for part in parts:
            if not _PART.fullmatch(part) or ("**" in part and part != "**"):
                raise ValueError(f"{part!r} in tag pattern {text!r}: write A-Z, 0-9, '_', '-' and '*', or '**' alone for any levels")
        self.text = text
        levels = [r"[^.]+(?:\.[^.]+)*" if part == "**" else re.escape(part).replace(r"\*", "[^.]*") for part in parts]
        # '**' may stand for no level at all: the dot beside it goes with it
        expression = r"\.".join(levels).replace(r"[^.]+(?:\.[^.]+)*\.", r"(?:[^.]+\.)*")
        self._expression = re.compile(expression)

    def matches(self, path: str) -> bool:
        """Return whether the whole path fits."""
        return self._expression.fullmatch(path) is not None
