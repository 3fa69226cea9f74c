"""What this plugin uses of the OPC UA library, in one place: the library exports these names only by star imports."""

from uuid import UUID

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

__all__ = ["AttributeIds", "Client", "ObjectIds", "StatusCodes", "UaError", "UaStatusCodeError", "node_id", "status_name"]


def node_id(identifier: int | str | UUID | bytes, namespace: int = 0) -> ua.NodeId:
    """Return a NodeId; its encoding follows the type of the identifier."""
    return ua.NodeId(identifier, namespace)  # type: ignore[arg-type]  # declared with the library's own number types, takes plain ones


def status_name(code: int) -> str:
    """Return the symbolic name of a StatusCode."""
    return str(ua.StatusCode(code).name)  # type: ignore[arg-type]  # declared with the library's own number type
