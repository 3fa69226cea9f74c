"""Every reading of a span, however many there are: page by page, without a limit."""

from collections.abc import Iterator

import numpy as np

from trunkline.historian.reader import MAX_ROWS, Reader
from trunkline.historian.readings import Raw


def pages(reader: Reader, tag: str, from_time: int, to_time: int, page: int = MAX_ROWS) -> Iterator[Raw]:
    """Yield the readings of a tag with from_time <= time < to_time (µs UTC) in order of time.

    Args:
        reader: of the historian.
        tag: path of the tag.
        from_time: first time.
        to_time: first time after the span.
        page: readings fetched at once; more than a tag has of any one time.

    Raises:
        UnknownTag: there is no such series.
    """
    while (raw := reader.raw(tag, from_time, to_time, page)).truncated:
        # readings of the page's last time may go on behind it: they come with the next page
        from_time = int(raw.time[-1])
        yield _first(raw, int(np.searchsorted(raw.time, from_time)))
    yield raw


def _first(raw: Raw, count: int) -> Raw:
    part = slice(0, count)
    return Raw(
        raw.tag,
        raw.kind,
        raw.unit,
        raw.time[part],
        raw.quality[part],
        raw.number[part],
        raw.integer[part],
        raw.text[part],
        raw.absent[part],
    )
