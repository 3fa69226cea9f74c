"""Readings and their values."""

from enum import IntEnum
from typing import TypeAlias

import msgspec

Value: TypeAlias = float | int | bool | str | None

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1


class Kind(IntEnum):
    """The type of a tag's values. A tag has one kind for life."""

    DOUBLE = 0
    INTEGER = 1  # signed 64 bit, without loss
    BOOLEAN = 2
    TEXT = 3


class Category(IntEnum):
    """The class of a record, enforced on ingestion (W-10 to W-14)."""

    TELEMETRY = 0
    EVENT = 1
    ALARM = 2
    LOG = 3


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One measurement as a source hands it over.

    Attributes:
        tag: full tag path.
        value: a value of the tag's kind; None when there is none, which needs a BAD quality (PD-26).
        quality: see `trunkline.model.quality`.
        source_time: when the device measured, µs UTC; None when the device does not say.
        gateway_time: when the gateway read, µs UTC.
    """

    tag: str
    value: Value
    quality: int
    source_time: int | None
    gateway_time: int


def coerce(value: Value, kind: Kind) -> Value:
    """Return `value` as its tag's kind, without loss.

    Raises:
        TypeError: the value is of another kind and cannot be carried over without loss.
        OverflowError: an integer does not fit 64 bits, or a double without loss.
    """
    if value is None:
        return None
    match kind:
        case Kind.DOUBLE if isinstance(value, int | float):
            number = float(value)
            if isinstance(value, int) and int(number) != value:
                raise OverflowError(f"{value} cannot be a double without loss: use kind: integer")
            return number
        case Kind.INTEGER if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
            whole = int(value)
            if not INT64_MIN <= whole <= INT64_MAX:
                raise OverflowError(f"{whole} does not fit a signed 64-bit integer")
            return whole
        case Kind.BOOLEAN if isinstance(value, bool) or (isinstance(value, int | float) and value in (0, 1)):
            return bool(value)
        case Kind.TEXT if isinstance(value, str):
            return value
        case _:
            raise TypeError(f"{type(value).__name__} {value!r:.80} is not a {kind.name.lower()} value")
