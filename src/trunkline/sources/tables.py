"""Rows of a table to readings: wide form (a column for each tag) or long form (a column names the tag).

Shared by sources that read files and databases. What a row is, and how a column is found in it, is theirs; they give a `Finder`.
Nothing in a row raises: what cannot be told becomes a BAD reading of its tag, and a sentence for whoever keeps count.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field, model_validator

from trunkline.config.tags import Model, Seconds, SourceConfig, TagConfig
from trunkline.model import quality
from trunkline.model.quality import Quality, Severity
from trunkline.model.reading import Kind, Reading, Value
from trunkline.sources.decoding import Undecodable, told_quality
from trunkline.sources.stamps import ISO8601, Stamp, check_format, stamp_reader, zone_of

Column = Annotated[int, Field(strict=True, ge=1, le=16_384)] | Annotated[str, Field(min_length=1, max_length=256)]


class TimestampConfig(Model):
    """The column with the time of measurement, and how it is written."""

    column: Column = Field(description="name or number of the column")
    format: str = Field(
        ISO8601, description="iso8601, epoch_s, epoch_ms, epoch_us, or a pattern as in Python's strptime, for example %d.%m.%Y %H:%M:%S"
    )
    zone: str = Field("", description="zone of times that do not say theirs: Europe/Berlin, UTC or +01:00; empty: such times are refused")

    @model_validator(mode="after")
    def _sound(self) -> "TimestampConfig":
        if self.zone:
            zone_of(self.zone)
        check_format(self.format, self.zone)
        return self


class LongForm(Model):
    """A row for each reading: the columns that name the tag and hold its value."""

    tag: Column = Field(description="column that names the tag")
    value: Column = Field(description="column with the value")
    quality: Column | None = Field(None, description="column with GOOD, UNCERTAIN, BAD, OOR, SUSPECT or UNKNOWN; empty cells: GOOD")


class TableTagConfig(TagConfig):
    """One tag and where its values stand."""

    column: Column | None = Field(None, description="wide form: name or number of the column with the value")
    quality: Column | None = Field(None, description="wide form: column with GOOD, UNCERTAIN, BAD, OOR, SUSPECT or UNKNOWN")
    name: str = Field("", max_length=256, description="long form: what the tag's column says for this tag; empty: the path")


class TableConfig(SourceConfig):
    """A source of rows. Without `long` the form is wide: each tag has a column."""

    stale_after: Seconds = Field(300.0, description="seconds of silence until a tag turns UNCERTAIN (stale)")
    lost_after: Seconds = Field(3600.0, description="seconds of silence until a tag turns BAD (communication lost)")
    timestamp: TimestampConfig | None = Field(None, description="column with the time of measurement; absent: the time of reading counts")
    long: LongForm | None = Field(None, description="long form: columns of the tag's name and of the value; absent: wide form")
    tags: tuple[TableTagConfig, ...] = Field((), description="what is read")

    @model_validator(mode="after")
    def _form(self) -> "TableConfig":
        names: dict[str, str] = {}
        for tag in self.tags:
            if self.long is None and tag.column is None:
                raise ValueError(f"tag {tag.path} has no 'column': give it one, or give 'long' if a column of the table names the tag")
            if self.long is None and tag.name:
                raise ValueError(f"tag {tag.path} has a 'name', which is for the long form: take it out, or give 'long'")
            if self.long is not None and (tag.column or tag.quality):
                raise ValueError(f"tag {tag.path} has a column of its own, which is for the wide form: take it out, or leave 'long' out")
            other = names.setdefault(tag.name or tag.path, tag.path)
            if self.long is not None and other != tag.path:
                raise ValueError(f"tags {other} and {tag.path} have the same name {tag.name or tag.path!r}: rows belong to one of them")
        return self


class _Absent:
    """What a row without a column has there."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT: Final = _Absent()

Row: TypeAlias = Any
Getter: TypeAlias = Callable[[Row], object]
#: Returns how a column is taken out of a row; a getter returns ABSENT where the row has no such column.
Finder: TypeAlias = Callable[[Column], Getter]
#: Returns a cell as a value of a kind; raises Undecodable.
Parse: TypeAlias = Callable[[object, Kind], Value]


@dataclass(frozen=True, slots=True)
class _Tag:
    path: str
    kind: Kind
    value: Getter
    quality: Getter | None


class TableDecoder:
    """Makes readings of the rows of one table.

    Attributes:
        unmatched: rows of the long form whose name belongs to no tag.
    """

    def __init__(self, config: TableConfig, find: Finder, parse: Parse, *, decimal: str = ".") -> None:
        """Look up every column once.

        Args:
            config: which columns hold what.
            find: how columns are taken out of rows.
            parse: how cells become values.
            decimal: sign before the fractions of times that are written as text.
        """
        self.unmatched = 0
        self._parse = parse
        stamp = config.timestamp
        self._stamp = stamp_reader(stamp.format, stamp.zone, decimal) if stamp else None
        self._moment = find(stamp.column) if stamp else None
        self._name: Getter | None = None
        if config.long is None:
            self._tags = [
                _Tag(tag.path, tag.value_kind, find(tag.column), find(tag.quality) if tag.quality else None)
                for tag in config.tags
                if tag.column is not None
            ]
        else:
            self._name = find(config.long.tag)
            value, code = find(config.long.value), find(config.long.quality) if config.long.quality else None
            self._named = {tag.name or tag.path: _Tag(tag.path, tag.value_kind, value, code) for tag in config.tags}

    def decode(self, row: Row, now: int) -> tuple[list[Reading], str]:
        """Return the readings of a row, and what is wrong with it: empty when nothing is."""
        why = ""
        stamp, told = None, int(Quality.GOOD)
        if self._stamp is not None and self._moment is not None:
            try:
                stamp = self._stamp(_present(self._moment(row)))
                told = Quality.UNCERTAIN_CLOCK_SKEW if stamp.doubtful else told
            except Undecodable as error:
                why, told = str(error), Quality.BAD_TIME
        if self._name is None:
            tags = self._tags
        else:
            name = self._name(row)
            tag = self._named.get(name.strip() if isinstance(name, str) else str(name))
            if tag is None:
                self.unmatched += 1
                return [], ""
            tags = [tag]
        readings = []
        for tag in tags:
            raw = tag.value(row)
            if _empty(raw) and self._name is None:
                continue  # not measured at this time
            reading, fault = self._reading(tag, raw, row, stamp, told, now)
            readings.append(reading)
            why = why or fault
        return readings, why

    def _reading(self, tag: _Tag, raw: object, row: Row, stamp: Stamp | None, told: int, now: int) -> tuple[Reading, str]:
        moment = None if stamp is None else stamp.moment
        try:
            value = None if _empty(raw) else self._parse(raw, tag.kind)
            said = int(Quality.GOOD) if tag.quality is None else told_quality(_word(tag.quality(row)))
        except Undecodable as error:
            return Reading(tag.path, None, Quality.BAD_DECODING, moment, now), f"tag {tag.path}: {error}"
        if value is None and quality.severity(said) is not Severity.BAD:
            said = int(Quality.BAD)  # PD-26: no value needs a BAD quality
        # nearly every row is GOOD: then there is nothing to compare
        return Reading(tag.path, value, said if told == Quality.GOOD else int(quality.worse(said, told)), moment, now), ""


def _empty(raw: object) -> bool:
    return raw is None or raw is ABSENT or (isinstance(raw, str) and not raw.strip())


def _word(code: object) -> object:
    """Return what a cell of qualities says; None when it is empty."""
    return None if _empty(code) else code.strip() if isinstance(code, str) else code


def _present(raw: object) -> object:
    if _empty(raw):
        raise Undecodable("no time in the row")
    return raw
