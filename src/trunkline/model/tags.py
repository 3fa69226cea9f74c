"""Tag paths: where a reading belongs, from the site down to the measurement, after ISA-95.

`PLANT01.AREA02.UNIT_05.FLOW_RATE` is plant, area, unit and tag. Trees may be deeper (cells, devices) or shallower; the last part is
always the tag. The path is the record key, so its bytes decide the partition (P-27, P-29).
"""

import re
from dataclasses import dataclass

MAX_PART = 64
MAX_TAG = 128
MAX_PATH = 256
SEPARATOR = "."

#: PD-29: no dots inside a part, so that two assets can never share a key.
_PART = re.compile(r"[A-Z0-9][A-Z0-9_-]*")


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
