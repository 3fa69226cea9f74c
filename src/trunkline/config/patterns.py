"""Patterns of tag paths, by which a definition says which tags it is for."""

import re


class TagPattern:
    """A tag path in which `*` stands for anything within one level and `**` for any number of levels, none included.

    `PLANT01.**.PRESSURE` is every pressure of the plant, `PLANT01.*.PUMP_*.FLOW` the flow of every pump one level below its areas.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        parts: list[str] = []
        for part in text.split("."):
            if part == "**":
                parts.append(r"(?:[^.]+\.)*")
            else:
                parts.append("[^.]*".join(re.escape(piece) for piece in part.split("*")) + r"\.")
        self._expression = re.compile("".join(parts))

    def matches(self, path: str) -> bool:
        """Return whether the pattern stands for this tag path."""
        return self._expression.fullmatch(f"{path}.") is not None
