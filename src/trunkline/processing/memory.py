"""What a step remembers, as records of its state topic: entries by key, and the input positions that they include.

Keys are `e:<entry>` and `p:<partition>:<topic>`; an empty value forgets. The last record of a key counts. A checkpoint writes every
entry anew, so that older records may go (`trunkline.log.housekeeping`, on Kafka compaction).
"""

from collections.abc import Mapping
from typing import Final

from trunkline.log.port import Log, Positions, Record, TopicPartition
from trunkline.processing.port import Remembering

_PAGE: Final = 1000
_ENTRY: Final = b"e:"
_PLACE: Final = b"p:"


def kept(site: Log, topic: str) -> tuple[dict[str, bytes], Positions]:
    """Return the entries in a state topic and the input positions that they include. Raises RetryLater."""
    last: dict[bytes, bytes] = {}
    for at, (first, end) in site.bounds(topic).items():
        position = first
        while position < end and (records := site.read(at, position, _PAGE)):
            last.update((record.key or b"", record.value) for record in records)
            position = records[-1].offset + 1
    entries, positions = {}, {}
    for key, value in last.items():
        if not value:
            continue
        if key.startswith(_ENTRY):
            entries[key[len(_ENTRY) :].decode()] = value
        elif key.startswith(_PLACE):
            partition, _, name = key[len(_PLACE) :].decode().partition(":")
            positions[TopicPartition(name, int(partition))] = int(value)
    return entries, positions


def changes(step: Remembering) -> list[Record]:
    """Return the records of what changed."""
    return [Record(entry or b"", _ENTRY + name.encode()) for name, entry in step.changed().items()]


def checkpoint(step: Remembering, positions: Mapping[TopicPartition, int]) -> list[Record]:
    """Return the records of everything that the step remembers at these input positions."""
    gone = [Record(b"", _ENTRY + name.encode()) for name, entry in step.changed().items() if entry is None]
    entries = [Record(entry, _ENTRY + name.encode()) for name, entry in step.entries().items()]
    places = [Record(str(offset).encode(), _PLACE + f"{at.partition}:{at.topic}".encode()) for at, offset in positions.items()]
    return [*gone, *entries, *places]


def remind(site: Log, step: Remembering, processed: Positions) -> None:
    """Give a new step what the one before it remembered: entries, then the input between the last checkpoint and what was processed.

    Args:
        site: the log.
        step: made anew.
        processed: next offset of each partition that the step is dealt.

    Raises:
        RetryLater: the log is away.
    """
    entries, positions = kept(site, step.state)
    step.restore(entries)
    for at, end in sorted(processed.items()):
        position = positions.get(at, max(0, end - _PAGE))
        while position < end and (records := site.read(at, position, min(_PAGE, end - position))):
            shown = [record for record in records if record.offset < end]
            if not shown:
                break
            step.warm(shown)
            position = shown[-1].offset + 1
