"""Topics of Sparkplug B (Eclipse Sparkplug 3.0.0, chapter 4): `spBv1.0/GROUP/TYPE/NODE[/DEVICE]` and `spBv1.0/STATE/HOST`."""

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

NAMESPACE: Final = "spBv1.0"
_RESERVED: Final = frozenset("+/#\0")
_MAX_ID: Final = 1024


class MessageType(Enum):
    """Message types that a host application receives (4.1.3)."""

    NBIRTH = "NBIRTH"
    NDEATH = "NDEATH"
    NDATA = "NDATA"
    DBIRTH = "DBIRTH"
    DDEATH = "DDEATH"
    DDATA = "DDATA"


_TYPES: Final = {one.value: one for one in MessageType}
_OF_DEVICES: Final = frozenset({MessageType.DBIRTH, MessageType.DDEATH, MessageType.DDATA})


class Topic(NamedTuple):
    """Where a message comes from; `device` is empty for the edge node itself."""

    type: MessageType
    node: str
    device: str = ""


def check_id(text: str) -> str:
    """Return the id of a group, node, device or host unchanged. Raises ValueError.

    [tck-id-topic-structure-namespace-valid-edge-node-id] 'a valid UTF-8 string with the exception of the reserved characters of + (plus),
    / (forward slash), and # (number sign)'.
    """
    if not text or len(text) > _MAX_ID or _RESERVED.intersection(text):
        raise ValueError(f"{text!r:.80} is no Sparkplug id: it needs 1 to {_MAX_ID} characters, none of them '+', '/' or '#'")
    return text


def parse(topic: str) -> Topic | None:
    """Return what a topic of the configured group says; None if it is of no message type that a host receives."""
    match topic.split("/"):
        case [_, _, kind, node] if kind in _TYPES and _TYPES[kind] not in _OF_DEVICES:
            return Topic(_TYPES[kind], node)
        case [_, _, kind, node, device] if kind in _TYPES and _TYPES[kind] in _OF_DEVICES:
            return Topic(_TYPES[kind], node, device)
    return None


def filters(group: str, nodes: Sequence[str]) -> list[str]:
    """Return the filters that bring the messages of these edge nodes, of all of the group for none; not the commands to them."""
    return [
        f"{NAMESPACE}/{group}/{one.value}/{node}{'/+' if one in _OF_DEVICES else ''}" for node in nodes or ("+",) for one in MessageType
    ]


def command(group: str, node: str, device: str = "") -> str:
    """Return the topic of commands to an edge node (NCMD, 4.2.1.4) or a device (DCMD, 4.2.2.4)."""
    return f"{NAMESPACE}/{group}/DCMD/{node}/{device}" if device else f"{NAMESPACE}/{group}/NCMD/{node}"


def state(host: str) -> str:
    """Return the topic on which a host application says whether it is online (4.2.3)."""
    return f"{NAMESPACE}/STATE/{host}"


def place(node: str, device: str) -> str:
    """Return node and device in one word, as messages and addresses have them."""
    return f"{node}/{device}" if device else node
