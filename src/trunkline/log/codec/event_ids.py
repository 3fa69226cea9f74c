"""Event ids that readings of third parties came with: from the headers of blocks to columns (P-9)."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import structlog

from trunkline.log.codec.columns import Columns
from trunkline.log.codec.records import EVENT_IDS
from trunkline.log.port import StoredRecord

#: 16 bytes each; zeros where there is none.
IDS = npt.NDArray[np.void]
UUID_BYTES: Final = np.dtype("V16")

_log = structlog.get_logger(__name__)


def ids_of(blocks: Sequence[StoredRecord], columns: Columns) -> IDS | None:
    """Return the event id of each reading of these blocks, zeros where it has none; None when no reading has one.

    Args:
        blocks: the records.
        columns: what they were decoded to.
    """
    carried = {number: ids for number, block in enumerate(blocks) if (ids := block.header(EVENT_IDS))}
    if not carried:
        return None
    found = np.zeros(len(columns), UUID_BYTES)
    for number, ids in carried.items():
        here = np.flatnonzero(columns.block == number)
        if len(ids) != len(here) * UUID_BYTES.itemsize:
            block = blocks[number]
            _log.warning("event ids do not fit their block", topic=block.topic, partition=block.partition, offset=block.offset)
            continue
        found[here] = np.frombuffer(ids, UUID_BYTES)
    return found


def joined_ids(ids: Sequence[bytes] | None) -> IDS | None:
    """Return event ids of readings, 16 bytes each, as a column; None when there are none."""
    return None if ids is None else np.frombuffer(b"".join(ids), UUID_BYTES)
