"""Records in the form that the site file asks for: blocks become single Avro records or JSON envelopes, and no account is lost.

The records of a block cover together what the block covered, each with a head of its own. Readings that validation took out are told by an
empty block in the place of one of them. What a form cannot hold stays as it is, and every reader takes every form: a block with a number
that JSON does not know or with a time beyond the calendar, a single with an event id, an event whose asset has not three parts.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from trunkline.config.tags import SourceConfig
from trunkline.log.layouts.spec import Form
from trunkline.log.port import Record, StoredRecord

_NUMBER: Final = re.compile(r"(\d{1,9})$")
#: Source of a third party's record, made of its envelope's node.
_NODE: Final = re.compile(r"node-(\d{1,19})")


def node_of(gateway: str) -> int:
    """Return the number at the end of a gateway's name, 42 of 'node-042'; 0 where there is none (P-15)."""
    found = _NUMBER.search(gateway)
    return int(found[1]) if found else 0


@dataclass(frozen=True, slots=True)
class Forms:
    """Writes one site's records in its form.

    Attributes:
        form: of telemetry; events and alarms are envelopes when it is 'json', else Avro.
        units: engineering unit by tag path.
        nodes: number of the node by tag path, for envelopes.
        node: number of the node that events come from whose source does not tell one.
    """

    form: Form = "block"
    units: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, int] = field(default_factory=dict)
    node: int = 0

    def telemetry(self, blocks: Sequence[StoredRecord]) -> list[list[Record]]:
        """Return for each block the records to write for it: itself, or one for each reading in the order of their positions."""
        if self.form == "block":
            return [[as_record(block)] for block in blocks]
        from trunkline.log.codec.rewriting import telemetry  # noqa: PLC0415 - see there: memory

        return telemetry(self, blocks)

    def event(self, value: bytes) -> bytes:
        """Return an event or alarm of ours in the site's form."""
        if self.form != "json":
            return value
        from trunkline.log.codec.rewriting import event  # noqa: PLC0415 - see there: memory

        return event(self, value)


def forms_of(form: Form, sources: Mapping[str, Sequence[SourceConfig]]) -> Forms:
    """Return how records are written, with what the site file says of tags.

    Args:
        form: the site log's.
        sources: by id of their gateway.
    """
    if form != "json":
        return Forms(form)
    tags = [(gateway, tag) for gateway, several in sources.items() for source in several for tag in source.tags]
    return Forms(
        form,
        units={tag.path: tag.unit for _, tag in tags if tag.unit},
        nodes={tag.path: node_of(gateway) for gateway, tag in tags},
        node=node_of(next(iter(sources))) if len(sources) == 1 else 0,
    )


def named_node(source: str, otherwise: int) -> int:
    """Return the node that a third party's source names, else the other one."""
    found = _NODE.fullmatch(source)
    return int(found[1]) if found else otherwise


def as_record(stored: StoredRecord) -> Record:
    """Return a stored record as it is."""
    return Record(stored.value, stored.key, stored.headers, stored.timestamp, stored.partition)
