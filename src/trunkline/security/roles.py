"""Roles, each including those below it (G-47, D-41)."""

from enum import IntEnum


class Role(IntEnum):
    """What somebody may do. Compare with `>=`: an engineer is also an operator and a viewer."""

    VIEWER = 1
    OPERATOR = 2
    ENGINEER = 3
    ADMINISTRATOR = 4

    @property
    def label(self) -> str:
        """The name in files and on the wire: lower case."""
        return self.name.lower()

    @classmethod
    def parse(cls, text: str) -> "Role":
        """Return the role of a name. Raises ValueError naming those there are."""
        try:
            return cls[text.upper()]
        except KeyError:
            raise ValueError(f"unknown role {text!r}: use one of {', '.join(role.label for role in cls)}") from None
