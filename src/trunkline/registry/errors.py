"""Refusals with the codes that Confluent's clients know."""

from typing import Final

from trunkline.model.errors import TrunklineError

SUBJECT_NOT_FOUND: Final = 40401
VERSION_NOT_FOUND: Final = 40402
SCHEMA_NOT_FOUND: Final = 40403
SUBJECT_SOFT_DELETED: Final = 40404
SUBJECT_NOT_SOFT_DELETED: Final = 40405
VERSION_SOFT_DELETED: Final = 40406
VERSION_NOT_SOFT_DELETED: Final = 40407
SUBJECT_COMPATIBILITY_NOT_SET: Final = 40408
SUBJECT_MODE_NOT_SET: Final = 40409
INCOMPATIBLE: Final = 409
INVALID_SCHEMA: Final = 42201
INVALID_VERSION: Final = 42202
INVALID_COMPATIBILITY: Final = 42203
INVALID_MODE: Final = 42204
NOT_PERMITTED: Final = 42205
REFERENCE_EXISTS: Final = 42206
INVALID_SUBJECT: Final = 42208
UNAUTHENTICATED: Final = 40101
FOREIGN_REQUEST: Final = 40301
STORE_ERROR: Final = 50001


class Refused(TrunklineError):
    """A request that cannot be granted.

    Attributes:
        code: Confluent's error code; its first three digits are the HTTP status.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def status(self) -> int:
        """HTTP status."""
        return int(str(self.code)[:3])


def no_subject(subject: str) -> Refused:
    """Return the refusal for a subject that is not there."""
    return Refused(SUBJECT_NOT_FOUND, f"Subject '{subject}' not found.")


def no_version(version: object) -> Refused:
    """Return the refusal for a version that is not there."""
    return Refused(VERSION_NOT_FOUND, f"Version {version} not found.")


def no_schema(what: str = "Schema") -> Refused:
    """Return the refusal for a schema that is not there."""
    return Refused(SCHEMA_NOT_FOUND, f"{what} not found.")
