"""From the DataType of a variable to the built-in type its values are sent as (OPC UA Part 6, 5.1.2)."""

from asyncua import ua
from asyncua.common.ua_utils import data_type_to_variant_type

from trunkline.sources.opcua.session import Session
from trunkline.sources.opcua.stack import UaError


async def built_in_type(session: Session, data_type: ua.NodeId) -> ua.VariantType | None:
    """Return the built-in type; `VariantType.Variant` for abstract types such as Number, None where the server does not tell.

    Raises:
        SourceUnavailable: the session is lost.
    """
    if (
        data_type.NamespaceIndex == 0
        and isinstance(data_type.Identifier, int)
        and 0 < data_type.Identifier < ua.VariantType.ExtensionObject
    ):
        return ua.VariantType(data_type.Identifier)
    try:
        found: ua.VariantType = await data_type_to_variant_type(session.node(data_type))
    except (UaError, ValueError, OSError, TimeoutError):
        session.check()
        return None
    return found
