"""Finding out what a broker carries: a short look at everything that passes."""

import asyncio
from collections.abc import Iterator
from typing import Any

from trunkline.sources.broker.link import BrokerLink
from trunkline.sources.decoding import Undecodable, parse_json
from trunkline.sources.mqtt.topics import LEVEL, REST
from trunkline.sources.port import BrowseNode

LISTEN_SECONDS = 2.0
MAX_TOPICS = 1_000
MAX_MEMBERS = 200
#: Parts topic and path in an address: the one character that no topic name can hold, and that no JSONPath starts with.
SEPARATOR = "#"


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "double" if isinstance(value, float) else "text"


def _members(document: Any, path: str) -> Iterator[tuple[str, object]]:  # noqa: ANN401 - any JSON document
    """Yield path and value of every plain member, deepest last."""
    if isinstance(document, dict):
        for name, value in document.items():
            quoted = name.replace("\\", "\\\\").replace("'", "\\'")
            yield from _members(value, f"{path}.{name}" if name.isidentifier() and name.isascii() else f"{path}['{quoted}']")
    elif isinstance(document, list):
        if document:
            yield from _members(document[0], f"{path}[*]")
    elif document is not None:
        yield path, document


def describe(topic: str, payload: bytes) -> list[BrowseNode]:
    """Return one node for a plain payload, or one for each member of a JSON object or array."""
    try:
        document = parse_json(payload)
    except Undecodable:
        return [BrowseNode(topic, topic.rpartition(LEVEL)[2], "text")]
    if not isinstance(document, dict | list):
        return [BrowseNode(topic, topic.rpartition(LEVEL)[2], _kind(document))]
    nodes: list[BrowseNode] = []
    for path, value in _members(document, "$"):
        nodes.append(BrowseNode(f"{topic}{SEPARATOR}{path}", path.rpartition(".")[2], _kind(value)))
        if len(nodes) == MAX_MEMBERS:
            break
    return nodes


async def listen(link: BrokerLink, at: str) -> list[BrowseNode]:
    """Subscribe to everything below `at` for a moment and describe what passes, sorted by topic."""
    await link.subscribe([f"{at.rstrip(LEVEL)}{LEVEL}{REST}" if at else REST])
    seen: dict[str, list[BrowseNode]] = {}
    try:
        async with asyncio.timeout(LISTEN_SECONDS):
            while len(seen) < MAX_TOPICS:
                for message in await link.receive(MAX_TOPICS):
                    if message.topic not in seen and len(seen) < MAX_TOPICS:
                        seen[message.topic] = describe(message.topic, message.payload)
    except TimeoutError:
        pass
    return [node for topic in sorted(seen) for node in seen[topic]]
