"""The event types of a server: what they are called and which are below which (OPC UA Part 3, 4.7)."""

import re
from dataclasses import dataclass, field

from asyncua import ua

from trunkline.sources.opcua.browsing import children_of, is_here
from trunkline.sources.opcua.session import Session
from trunkline.sources.opcua.stack import ObjectIds, UaStatusCodeError, node_id

#: What an event is called whose type the server does not show.
UNNAMED = "OPCUA_EVENT"

_BASE = node_id(ObjectIds.BaseEventType)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@dataclass(slots=True)
class EventTypes:
    """The tree below BaseEventType.

    Attributes:
        names: of each type, as events are called: 'EXCLUSIVE_LEVEL_ALARM' for ExclusiveLevelAlarmType.
        below: the direct subtypes of each type.
    """

    names: dict[ua.NodeId, str] = field(default_factory=dict)
    below: dict[ua.NodeId, list[ua.NodeId]] = field(default_factory=dict)

    def __contains__(self, kind: ua.NodeId) -> bool:
        return kind == _BASE or kind in self.names

    def name(self, kind: ua.NodeId | None) -> str:
        """Return what an event of this type is called."""
        return UNNAMED if kind is None else self.names.get(kind, UNNAMED)

    def with_subtypes(self, kind: ua.NodeId) -> set[ua.NodeId]:
        """Return a type and all below it."""
        found = {kind}
        level = [kind]
        while level:
            level = [one for above in level for one in self.below.get(above, ()) if one not in found]
            found.update(level)
        return found


async def load_event_types(session: Session) -> EventTypes:
    """Browse the server's event types; empty when it does not show them. Raises SourceUnavailable."""
    types = EventTypes({_BASE: event_name("BaseEventType")})
    level = [_BASE]
    while level:
        try:
            found = await children_of(session, level, ObjectIds.HasSubtype, ua.NodeClass.ObjectType)
        except UaStatusCodeError:
            break
        following: list[ua.NodeId] = []
        for above, references in zip(level, found, strict=True):
            for one in references or ():
                kind = node_id(one.NodeId.Identifier, one.NodeId.NamespaceIndex)
                if is_here(one.NodeId) and kind not in types.names:
                    types.names[kind] = event_name(one.BrowseName.Name or "")
                    types.below.setdefault(above, []).append(kind)
                    following.append(kind)
        level = following
    return types


def event_name(browse_name: str) -> str:
    """Return SCREAMING_SNAKE of the name of a type, without its 'Type'."""
    words = _WORDS.findall(browse_name.removesuffix("Type"))
    return "_".join(words).upper()[:128] or UNNAMED
