"""Ids of series, origins and feeds: looked up once, made on first sight."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trunkline.config.tags import TagConfig
from trunkline.historian import statements
from trunkline.historian.db import Connection
from trunkline.model.reading import Kind


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """What the configuration knows of a series."""

    kind: Kind = Kind.DOUBLE
    unit: str = ""
    description: str = ""
    gateway: str = ""
    source: str = ""
    min: float | None = None
    max: float | None = None

    @classmethod
    def of(cls, tag: TagConfig, gateway: str, source: str) -> "SeriesInfo":
        """Return what a tag's configuration says."""
        return cls(tag.value_kind, tag.unit, tag.description, gateway, source, tag.min, tag.max)

    def row(self, tag: str) -> dict[str, object]:
        """Return the columns of the series table."""
        return {
            "tag": tag,
            "kind": int(self.kind),
            "unit": self.unit,
            "description": self.description,
            "gateway": self.gateway,
            "source": self.source,
            "min": self.min,
            "max": self.max,
        }


@dataclass(frozen=True, slots=True)
class Series:
    """A series as stored."""

    id: int
    kind: Kind


class Catalogue:
    """Caches ids for one writer. What it makes is committed at once, apart from the data that will use it."""

    def __init__(self, registry: Mapping[str, SeriesInfo]) -> None:
        self._registry = registry
        self._series: dict[str, Series] = {}
        self._origins: dict[str, int] = {}
        self._feeds: dict[tuple[str, str], int] = {}

    def describe(self, connection: Connection) -> None:
        """Make series of every configured tag and take over what the configuration says of them now."""
        rows = [info.row(tag) for tag, info in sorted(self._registry.items())]
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(statements.ADD_SERIES, rows)
            cursor.executemany(statements.DESCRIBE_SERIES, rows)

    def series(self, connection: Connection, tags: Sequence[str], kinds: Sequence[int]) -> list[Series]:
        """Return the series of these tags; new ones are made with these kinds."""
        missing = [(tag, kind) for tag, kind in zip(tags, kinds, strict=True) if tag not in self._series]
        if missing:
            names = sorted(tag for tag, _ in missing)
            with connection.transaction(), connection.cursor() as cursor:
                known = {row[0] for row in cursor.execute(statements.READ_SERIES, (names,)).fetchall()}
                new = {tag: {**self._registry.get(tag, SeriesInfo()).row(tag), "kind": kind} for tag, kind in missing if tag not in known}
                cursor.executemany(statements.ADD_SERIES, [new[tag] for tag in sorted(new)])
                rows = cursor.execute(statements.READ_SERIES, (names,)).fetchall()
            self._series.update({tag: Series(id_, Kind(kind)) for tag, id_, kind in rows})
        return [self._series[tag] for tag in tags]

    def origin(self, connection: Connection, origin: str) -> int:
        """Return the id of an edge journal."""
        if origin not in self._origins:
            with connection.transaction():
                connection.execute(statements.ADD_ORIGIN, (origin,))
                row = connection.execute(statements.READ_ORIGIN, (origin,)).fetchone()
            assert row is not None, "just made"
            self._origins[origin] = row[0]
        return self._origins[origin]

    def known_origin(self, origin: str) -> int:
        """Return the id of an edge journal that `origin` or `feeds` looked up before."""
        return self._origins[origin]

    def feeds(self, connection: Connection, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Return the id of each (origin, source)."""
        found: dict[tuple[str, str], int] = {}
        for pair in sorted(set(pairs)):
            if pair not in self._feeds:
                keys = (self.origin(connection, pair[0]), pair[1])
                with connection.transaction():
                    connection.execute(statements.ADD_FEED, keys)
                    row = connection.execute(statements.READ_FEED, keys).fetchone()
                assert row is not None, "just made"
                self._feeds[pair] = row[0]
            found[pair] = self._feeds[pair]
        return found
