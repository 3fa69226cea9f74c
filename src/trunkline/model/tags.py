"""Tag paths: where a reading belongs, from the site down to the measurement, after ISA-95.

`PLANT01.AREA02.UNIT_05.FLOW_RATE` is plant, area, unit and tag. Trees may be deeper (cells, devices) or shallower; the last part is
always the tag. The path is the record key, so its bytes decide the partition (P-27, P-29).
"""

import re
from dataclasses import dataclass, field

MAX_PART = 64
MAX_TAG = 128
MAX_PATH = 256
SEPARATOR = "."

#: PD-29: no dots inside a part, so that two assets can never share a key.
_PART = re.compile(r"[A-Z0-9][A-Z0-9_-]*")
_PATTERN_PART = re.compile(r"[A-Z0-9_*-]+")
_ANY_LEVELS = "**"
_LEVELS = r"(?:[^.]+\.)*"


@dataclass(frozen=True, slots=True)
class TagPath:
    """A checked tag path. Build it with `parse`."""

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "TagPath":
        """Parse and check a path.

        Raises:
            ValueError: says which part is wrong and how to mend it.
        """
        parts = tuple(text.split(SEPARATOR))
        if len(text) > MAX_PATH:
            raise ValueError(f"tag path of {len(text)} characters: at most {MAX_PATH} are allowed")
        for position, part in enumerate(parts):
            if not _PART.fullmatch(part):
                mend = re.sub(r"[^A-Z0-9_-]+", "_", part.upper()).strip("_-") or "NAME"
                raise ValueError(
                    f"part {position + 1} ({part!r}) of tag path {text!r} must be A-Z, 0-9, '_' or '-' and start with a letter or "
                    f"digit: try {mend!r}"
                )
            limit = MAX_TAG if position == len(parts) - 1 else MAX_PART
            if len(part) > limit:
                raise ValueError(f"part {position + 1} of tag path {text!r} has {len(part)} characters: at most {limit}")
        return cls(parts)

    @property
    def tag(self) -> str:
        """The measurement: the last part."""
        return self.parts[-1]

    @property
    def asset(self) -> str:
        """Everything above the tag, joined; empty for a bare tag."""
        return SEPARATOR.join(self.parts[:-1])

    def level(self, position: int) -> str:
        """Return plant (0), area (1) or unit (2); empty when the tree is shallower."""
        return self.parts[position] if position < len(self.parts) - 1 else ""

    def __str__(self) -> str:
        return SEPARATOR.join(self.parts)


@dataclass(frozen=True, slots=True)
class TagPattern:
    """A choice of tags: a path where `*` stands for any characters within one level and a level `**` for any number of levels, or none.

    `PLANT01.*.UNIT_0*.FLOW_RATE` is one measurement of several units, `PLANT01.AREA02.**` everything below an area, `**.FLOW_RATE` a
    measurement wherever it is.

    Raises:
        ValueError: says which part is wrong and how to mend it.
    """

    text: str
    _regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.text) > MAX_PATH:
            raise ValueError(f"tag pattern of {len(self.text)} characters: at most {MAX_PATH} are allowed")
        parts = self.text.split(SEPARATOR)
        for position, part in enumerate(parts):
            if not _PATTERN_PART.fullmatch(part):
                raise ValueError(f"part {position + 1} ({part!r}) of tag pattern {self.text!r} must be A-Z, 0-9, '_', '-', '*' or be '**'")
            if _ANY_LEVELS in part and part != _ANY_LEVELS:
                raise ValueError(
                    f"part {position + 1} ({part!r}) of tag pattern {self.text!r}: '**' is a level of its own; write '*' within one"
                )
        object.__setattr__(self, "_regex", re.compile(_expression(parts)))

    @property
    def is_path(self) -> bool:
        """Whether it has no wildcard and so names one tag."""
        return "*" not in self.text

    def matches(self, path: str) -> bool:
        """Return whether the whole path fits."""
        return self._regex.fullmatch(path + SEPARATOR) is not None

    def __str__(self) -> str:
        return self.text


def _expression(parts: list[str]) -> str:
    """Return the regular expression of a path with a separator after every part, the last one too."""
    runs = [""]
    for part in parts:
        if part == _ANY_LEVELS:
            runs.append("")
        else:
            runs[-1] += _joined([re.escape(piece) for piece in part.split("*")], "[^.]*") + r"\."
    return _joined(runs, _LEVELS)


def _joined(pieces: list[str], between: str) -> str:
    """Return an expression of pieces with anything `between`. Each is taken where it is first found, once and for all: linear in time."""
    if len(pieces) == 1:
        return pieces[0]
    first, *middle, last = pieces
    return first + "".join(f"(?>{between}?{piece})" for piece in middle) + between + last
