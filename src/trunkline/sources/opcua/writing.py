"""Writing one value, as the type that the variable has on the server."""

import math

from asyncua import ua

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.model.reading import Value
from trunkline.sources.opcua.datatypes import built_in_type
from trunkline.sources.opcua.items import is_bad
from trunkline.sources.opcua.session import Session
from trunkline.sources.opcua.stack import AttributeIds, StatusCodes, UaStatusCodeError
from trunkline.sources.port import CommandOutcome

_BITS = {
    ua.VariantType.SByte: (8, True),
    ua.VariantType.Byte: (8, False),
    ua.VariantType.Int16: (16, True),
    ua.VariantType.UInt16: (16, False),
    ua.VariantType.Int32: (32, True),
    ua.VariantType.UInt32: (32, False),
    ua.VariantType.Int64: (64, True),
    ua.VariantType.UInt64: (64, False),
}
_LARGEST_FLOAT = 3.4028234663852886e38

#: The server itself does not know what became of the write.
_UNKNOWN = frozenset(
    {
        StatusCodes.BadTimeout,
        StatusCodes.BadRequestTimeout,
        StatusCodes.BadCommunicationError,
        StatusCodes.BadWaitingForResponse,
        StatusCodes.BadUnexpectedError,
        StatusCodes.BadInternalError,
        StatusCodes.BadRequestInterrupted,
        StatusCodes.GoodCompletesAsynchronously,
    }
)


async def write_value(session: Session, node: ua.NodeId, value: Value) -> CommandOutcome:
    """Write one scalar.

    Returns:
        DONE when the server says so, REFUSED when it refuses or the value does not fit the variable's type, UNKNOWN when no answer came.

    Raises:
        SourceMisconfigured: there is no such variable or its type cannot be written.
        SourceUnavailable: the connection was lost before the value was sent.
    """
    variant = fit(value, await _type_of(session, node))
    if variant is None:
        return CommandOutcome.REFUSED
    request = ua.WriteRequest()
    # No timestamps: many servers accept the value alone only (Part 4, 5.11.4, Bad_WriteNotSupported).
    data = ua.DataValue(variant)
    request.Parameters.NodesToWrite = [ua.WriteValue(NodeId=node, AttributeId=AttributeIds.Value, Value=data)]
    session.check()
    try:
        (status,) = (await session.request(request, ua.WriteResponse, fatal=False)).Results
    except UaStatusCodeError as error:
        return CommandOutcome.UNKNOWN if error.code in _UNKNOWN else CommandOutcome.REFUSED
    except (SourceUnavailable, ValueError):
        return CommandOutcome.UNKNOWN
    if status.value in _UNKNOWN:
        return CommandOutcome.UNKNOWN
    return CommandOutcome.REFUSED if is_bad(status.value) else CommandOutcome.DONE


def fit(value: Value, kind: ua.VariantType) -> ua.Variant | None:
    """Return the value as this type, or None if it does not fit without loss.

    Raises:
        SourceMisconfigured: values of this type cannot be written.
    """
    if kind in _BITS:
        bits, signed = _BITS[kind]
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        whole = int(value) if isinstance(value, int) or (isinstance(value, float) and value.is_integer()) else None
        return ua.Variant(whole, kind) if whole is not None and low <= whole <= high else None
    match kind:
        case ua.VariantType.Boolean:
            return ua.Variant(bool(value), kind) if isinstance(value, int | float) and value in (0, 1) else None
        case ua.VariantType.Float | ua.VariantType.Double:
            if not isinstance(value, int | float) or not math.isfinite(value):
                return None
            too_large = kind is ua.VariantType.Float and abs(value) > _LARGEST_FLOAT
            return None if too_large else ua.Variant(float(value), kind)
        case ua.VariantType.String:
            return ua.Variant(value, kind) if isinstance(value, str) else None
        case ua.VariantType.LocalizedText:
            return ua.Variant(ua.LocalizedText(value), kind) if isinstance(value, str) else None
        case _:
            raise SourceMisconfigured(f"values of type {kind.name} cannot be written")


async def _type_of(session: Session, node: ua.NodeId) -> ua.VariantType:
    (data_type,) = await session.read([node], AttributeIds.DataType)
    (rank,) = await session.read([node], AttributeIds.ValueRank)
    if data_type.StatusCode is not None and is_bad(data_type.StatusCode.value):
        raise SourceMisconfigured(f"{node.to_string()} is not a variable of the server: {data_type.StatusCode.name}")
    if rank.Value is not None and isinstance(rank.Value.Value, int) and rank.Value.Value >= 0:
        raise SourceMisconfigured(f"{node.to_string()} is an array: arrays and their elements cannot be written")
    found = await built_in_type(session, data_type.Value.Value) if data_type.Value is not None else None
    if found is ua.VariantType.Variant:  # abstract: what it holds now is what it takes
        (now,) = await session.read([node])
        found = now.Value.VariantType if now.Value is not None else None
    if found is None:
        raise SourceMisconfigured(f"the server does not tell the type of {node.to_string()}")
    return found
