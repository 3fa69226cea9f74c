"""What is asked of the server for each event: the fields to send, and the types to choose from (OPC UA Part 4, 7.22.3).

Each field is named on the type that defines it, as 7.7.4.5 asks and strict servers insist on.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from asyncua import ua

from trunkline.sources.opcua.stack import AttributeIds, ObjectIds, StatusCodes, node_id

#: Events about the events themselves. Servers shall send them whatever the filter says (Part 9, 4.5); some filter them all the same.
SPECIAL = tuple(
    node_id(number)
    for number in (
        ObjectIds.RefreshStartEventType,
        ObjectIds.RefreshEndEventType,
        ObjectIds.RefreshRequiredEventType,
        ObjectIds.EventQueueOverflowEventType,
    )
)
REFRESH_START, REFRESH_END, REFRESH_REQUIRED, QUEUE_OVERFLOW = SPECIAL

#: The server does not take a filter of this form: a simpler one may do.
FILTER_REFUSED = frozenset(
    {
        StatusCodes.BadMonitoredItemFilterInvalid,
        StatusCodes.BadMonitoredItemFilterUnsupported,
        StatusCodes.BadFilterNotAllowed,
        StatusCodes.BadEventFilterInvalid,
        StatusCodes.BadContentFilterInvalid,
        StatusCodes.BadFilterOperatorInvalid,
        StatusCodes.BadFilterOperatorUnsupported,
        StatusCodes.BadFilterOperandCountMismatch,
        StatusCodes.BadFilterOperandInvalid,
        StatusCodes.BadFilterElementInvalid,
        StatusCodes.BadFilterLiteralInvalid,
        StatusCodes.BadTypeDefinitionInvalid,
        StatusCodes.BadNodeIdUnknown,
    }
)


class Field(NamedTuple):
    """A field of an event: the type that defines it, and the path to it; without a path the NodeId of the condition itself."""

    type: int
    path: str

    @property
    def name(self) -> str:
        """The path, or 'ConditionId' (Part 9, 5.5.2.13)."""
        return self.path or "ConditionId"

    def operand(self) -> ua.SimpleAttributeOperand:
        """Return the field as a select clause or an operand of a where clause."""
        return ua.SimpleAttributeOperand(
            TypeDefinitionId=node_id(self.type),
            BrowsePath=[ua.QualifiedName(part, 0) for part in self.path.split("/") if part],
            AttributeId=AttributeIds.Value if self.path else AttributeIds.NodeId,
        )


#: Part 5, 6.4.2.
BASE_FIELDS = tuple(
    Field(ObjectIds.BaseEventType, path)
    for path in ("EventId", "EventType", "SourceNode", "SourceName", "Time", "ReceiveTime", "Message", "Severity")
)
#: Part 9, 5.5.2, 5.7.2 and 5.8.2.
ALL_FIELDS = (
    *BASE_FIELDS,
    Field(ObjectIds.ConditionType, ""),
    *(
        Field(ObjectIds.ConditionType, path)
        for path in ("ConditionName", "BranchId", "Retain", "EnabledState/Id", "Quality", "Comment", "ClientUserId")
    ),
    *(Field(ObjectIds.AcknowledgeableConditionType, path) for path in ("AckedState/Id", "ConfirmedState/Id")),
    *(
        Field(ObjectIds.AlarmConditionType, path)
        for path in ("ActiveState/Id", "ActiveState/EffectiveDisplayName", "InputNode", "SuppressedOrShelved")
    ),
)
_EVENT_TYPE = Field(ObjectIds.BaseEventType, "EventType")


def event_filter(fields: Sequence[Field], types: Collection[ua.NodeId]) -> ua.EventFilter:
    """Return a filter that asks for these fields, of events of exactly these types; no types: of all events.

    Subtypes are listed, not left to the operator OfType, which not every server follows down to subtypes. Severity is never filtered
    there: the end of an alarm often has a lower one than its beginning, and would not be heard of.
    """
    wanted = ua.EventFilter()
    wanted.SelectClauses = [field.operand() for field in fields]
    if types:
        literals = [ua.LiteralOperand(Value=ua.Variant(one, ua.VariantType.NodeId)) for one in sorted({*types, *SPECIAL})]
        element = ua.ContentFilterElement(FilterOperator=ua.FilterOperator.InList, FilterOperands=[_EVENT_TYPE.operand(), *literals])
        wanted.WhereClause = ua.ContentFilter(Elements=[element])
    return wanted
