"""Listing what a server has, one level at a time."""

from collections.abc import Sequence

from asyncua import ua

from trunkline.model.errors import SourceMisconfigured
from trunkline.sources.opcua.addresses import NodeAddress, UnknownNamespace
from trunkline.sources.opcua.datatypes import built_in_type
from trunkline.sources.opcua.items import batches, is_bad
from trunkline.sources.opcua.session import Session
from trunkline.sources.opcua.stack import AttributeIds, ObjectIds, node_id
from trunkline.sources.opcua.values import kind_of
from trunkline.sources.port import BrowseNode

_SHOWN = int(ua.NodeClass.Object | ua.NodeClass.Variable)


async def browse(session: Session, at: str) -> list[BrowseNode]:
    """Return the children of a node; '' is the Objects folder.

    Raises:
        SourceMisconfigured: `at` is no NodeId or the server does not know it.
        SourceUnavailable: the session is lost.
    """
    try:
        top = NodeAddress.parse(at) if at else NodeAddress(0, ObjectIds.ObjectsFolder)
        start = node_id(top.identifier, top.index(session.namespaces))
    except (ValueError, UnknownNamespace) as error:
        raise SourceMisconfigured(str(error)) from error
    (children,) = await children_of(session, [start], ObjectIds.HierarchicalReferences)
    if children is None:
        raise SourceMisconfigured(f"the server cannot browse {at!r}")
    unique = {address_of(child.NodeId, session.namespaces): child for child in children if is_here(child.NodeId)}
    variables = {
        address: node_id(address.identifier, address.index(session.namespaces))
        for address, child in unique.items()
        if child.NodeClass == ua.NodeClass.Variable
    }
    kinds = dict(zip(variables, await _kinds(session, list(variables.values())), strict=True))
    below = dict(zip(variables, await children_of(session, list(variables.values()), ObjectIds.HasComponent), strict=True))
    return [
        BrowseNode(
            address=str(address),
            name=child.DisplayName.Text or child.BrowseName.Name,
            kind=kinds.get(address, ""),
            branch=child.NodeClass == ua.NodeClass.Object or bool(below.get(address)),
        )
        for address, child in unique.items()
    ]


async def children_of(
    session: Session, nodes: Sequence[ua.NodeId], reference: int, classes: int = _SHOWN
) -> list[list[ua.ReferenceDescription] | None]:
    """Return the forward references of each node to nodes of some classes; None where the server refuses it.

    Raises:
        UaStatusCodeError: the server refuses to be browsed.
        SourceUnavailable: the session is lost.
    """
    found: list[list[ua.ReferenceDescription] | None] = []
    for some in batches(nodes, session.limits.browse):
        request = ua.BrowseRequest()
        request.Parameters.NodesToBrowse = [_description(node, reference, classes) for node in some]
        results = (await session.request(request, ua.BrowseResponse)).Results
        found.extend([None if is_bad(result.StatusCode.value) else await _all_pages(session, result) for result in results])
    return found


def _description(node: ua.NodeId, reference: int, classes: int) -> ua.BrowseDescription:
    return ua.BrowseDescription(
        NodeId=node,
        BrowseDirection=ua.BrowseDirection.Forward,
        ReferenceTypeId=node_id(reference),
        IncludeSubtypes=True,
        NodeClassMask=classes,
        ResultMask=int(ua.BrowseResultMask.All),
    )


async def _all_pages(session: Session, first: ua.BrowseResult) -> list[ua.ReferenceDescription]:
    references = list(first.References)
    following = first.ContinuationPoint
    while following:
        request = ua.BrowseNextRequest()
        request.Parameters.ContinuationPoints = [following]
        (page,) = (await session.request(request, ua.BrowseNextResponse)).Parameters.Results
        references.extend(page.References)
        following = page.ContinuationPoint
    return references


async def _kinds(session: Session, variables: Sequence[ua.NodeId]) -> list[str]:
    types: dict[ua.NodeId, str] = {}
    kinds: list[str] = []
    for data in await session.read(variables, AttributeIds.DataType):
        data_type = data.Value.Value if data.Value is not None else None
        if not isinstance(data_type, ua.NodeId):
            kinds.append("")
            continue
        if data_type not in types:
            types[data_type] = kind_of(await built_in_type(session, data_type))
        kinds.append(types[data_type])
    return kinds


def is_here(node: ua.NodeId) -> bool:
    """A reference may lead to another server (Part 4, 7.16)."""
    return not getattr(node, "ServerIndex", 0)


def address_of(node: ua.NodeId, namespaces: Sequence[str]) -> NodeAddress:
    """Return a NodeId as it is written into a site file: by namespace URI where the server has one."""
    index = int(node.NamespaceIndex)
    uri = getattr(node, "NamespaceUri", None) or (namespaces[index] if 0 < index < len(namespaces) else None)
    return NodeAddress(uri or index, node.Identifier)
