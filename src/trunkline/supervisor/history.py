"""History for trials: out of the historian, or as it came out of the site log. Read-only, without a consumer group."""

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Final

import numpy as np

from trunkline.config.loading import Site
from trunkline.historian.reader import Reader, UnknownTag
from trunkline.historian.readings import Raw
from trunkline.historian.whole import pages
from trunkline.log.codec.columns import Columns, decode
from trunkline.log.codec.records import gather
from trunkline.log.following import Start, partitions_of, positions_at, read_between
from trunkline.log.opening import layout_of
from trunkline.log.port import Log
from trunkline.model import times
from trunkline.model.quality import Quality
from trunkline.model.reading import Category
from trunkline.processing.history import columns_of_runs
from trunkline.processing.rules.ruleset import OWN_MARKS
from trunkline.registry.client import client_of

_RECORDS: Final = 500
#: Readings to hold at once, if every tag has one a second.
_AT_ONCE: Final = 2_000_000


def stored(reader: Reader, tags: Collection[str], begin: int, end: int) -> Iterator[Columns]:
    """Yield readings of these tags, all together in order of time, as they came before the rules of today marked them.

    What validation refused is not among them, and the gateway's time is not kept: it is taken to be the reading's own.

    Raises:
        RetryLater: the database is away.
    """
    width = min(times.DAY, max(times.MINUTE, _AT_ONCE // max(1, len(tags)) * times.SECOND))
    for first in range(begin, end, width):
        runs: list[Raw] = []
        for tag in tags:
            try:
                runs += [raw for raw in pages(reader, tag, first, min(end, first + width)) if len(raw)]
            except UnknownTag:  # never stored anything
                continue
        if runs:
            yield _as_they_came(columns_of_runs(runs))


def logged(site: Site, log: Log, tags: Collection[str], begin: int, end: int) -> Iterator[Columns]:
    """Yield readings of these tags with times in the span, as gateways sent them, in the order of the log.

    Raises:
        RetryLater: the log is away.
    """
    layout, schemas, wanted = layout_of(site.config.log), client_of(site), frozenset(tags)
    kinds = {path: entry.tag.value_kind for path, entry in site.tags().items()}
    for topic in layout.topics(Category.TELEMETRY, "raw"):
        bounds = partitions_of(log, topic)
        records = read_between(log, positions_at(log, bounds, Start("time", begin)), bounds, lambda _: True)
        while page := list(islice(records, _RECORDS)):
            columns = decode(gather(page, schemas, kinds).blocks)
            mine = np.fromiter((tag in wanted for tag in columns.tags), np.bool_, len(columns.tags))
            keep = (columns.time >= begin) & (columns.time < end)
            if len(columns):
                keep &= mine[columns.tag]
            if keep.any():
                yield columns.select(keep)


def _as_they_came(columns: Columns) -> Columns:
    columns.quality[np.isin(columns.quality, OWN_MARKS)] = Quality.GOOD
    return columns
