"""Commands to edge nodes and devices: NCMD and DCMD payloads (Eclipse Sparkplug 3.0.0, 5.14, 'Commands')."""

from typing import Final

from trunkline.model import times
from trunkline.model.reading import Value
from trunkline.sources.sparkplug import codec, datatypes
from trunkline.sources.sparkplug.codec import Form, Metric, Payload
from trunkline.sources.sparkplug.datatypes import DataType
from trunkline.sources.sparkplug.nodes import KnownMetric
from trunkline.sources.sparkplug.readings import MILLISECOND

#: [tck-id-operational-behavior-data-commands-rebirth-name]: every edge node has it, a Boolean, and it never has an alias.
REBIRTH: Final = "Node Control/Rebirth"


def rebirth(now: int) -> bytes:
    """Return the NCMD that asks an edge node to publish its births again; `now` in µs UTC."""
    return payload(Metric(name=REBIRTH, timestamp=now // MILLISECOND, datatype=DataType.BOOLEAN, form=Form.BOOLEAN, raw=True))


def payload(metric: Metric) -> bytes:
    """Return the payload of an NCMD or DCMD with one metric, sent at the metric's time."""
    return codec.encode(Payload(timestamp=metric.timestamp, metrics=(metric,)))


def write(known: KnownMetric, value: Value, now: int) -> Metric:
    """Return the metric that writes a value.

    [tck-id-payloads-alias-data-cmd-requirement]: where the birth gave an alias, 'NCMD, and DCMD messages MUST only include an alias and the
    metric name MUST be excluded'.

    Args:
        known: the metric as its birth announced it.
        value: what to write; a DateTime in µs UTC, or as ISO 8601 text.
        now: present time, µs UTC.

    Raises:
        NoScalar: the data type cannot be written.
        OverflowError: the number does not fit the data type.
        TypeError: the value is of another kind.
        ValueError: a text is no time.
    """
    if known.datatype == DataType.DATETIME and isinstance(value, int | str):
        value = (times.from_iso(value) if isinstance(value, str) else value) // MILLISECOND
    form, raw = datatypes.written(value, known.datatype)
    moment = now // MILLISECOND
    name = known.name if known.alias is None else None
    return Metric(name=name, alias=known.alias, timestamp=moment, datatype=known.datatype, form=form, raw=raw)
