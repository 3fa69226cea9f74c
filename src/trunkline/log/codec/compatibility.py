"""May readers and writers of two schemas work together? Avro's schema resolution, judged without data.

Sources: Avro 1.12 specification, "Schema Resolution" and "Aliases"; compatibility levels as Confluent's Schema Registry defines them.
Two rules are stricter than the Java library, which looks at neither: decimals of other precision or scale do not resolve (the specification
says so), and times of another unit do not either, for they would be wrong by a factor of a thousand without any error.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from trunkline.log.codec.declarations import Array, Enum, Field, Fixed, Logical, Map, Named, Primitive, Record, Schema, Union, label_of

_PROMOTIONS: Final = {
    "int": frozenset({"long", "float", "double"}),
    "long": frozenset({"float", "double"}),
    "float": frozenset({"double"}),
    "string": frozenset({"bytes"}),
    "bytes": frozenset({"string"}),
}
_TIME_UNITS: Final = ("millis", "micros", "nanos")


class Level(StrEnum):
    """What a new version of a subject must be able to do with the earlier ones."""

    NONE = "NONE"
    BACKWARD = "BACKWARD"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD = "FORWARD"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL = "FULL"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"

    @property
    def backward(self) -> bool:
        """The new schema has to read what earlier ones wrote."""
        return self.startswith(("BACKWARD", "FULL"))

    @property
    def forward(self) -> bool:
        """Earlier schemas have to read what the new one writes."""
        return self.startswith(("FORWARD", "FULL"))

    @property
    def transitive(self) -> bool:
        """All earlier versions count, not only the last."""
        return self.endswith("_TRANSITIVE")


class Problem(NamedTuple):
    """Why a reader cannot read what a writer writes.

    Attributes:
        kind: the name that Avro's Java library has for it, for example MISSING_ENUM_SYMBOLS.
        path: place in the reader's schema: `Reading.values[].unit`; `[]` are items of an array, `{}` values of a map, `<x>` branches of
            a union.
        text: what is wrong there.
        change_reader, change_writer: how to mend it, on either side.
    """

    kind: str
    path: str
    text: str
    change_reader: str
    change_writer: str


class Finding(NamedTuple):
    """A problem between a new schema and an earlier version.

    Attributes:
        version: the earlier version's number.
        backward: True when the new schema is the reader.
        problem: what is wrong.
    """

    version: int
    backward: bool
    problem: Problem

    @property
    def message(self) -> str:
        """One sentence with the place in the schema and the mend in the new schema."""
        one = self.problem
        side = f"cannot read what version {self.version} wrote" if self.backward else f"writes what version {self.version} cannot read"
        return f"{one.path}: {one.text}; so the new schema {side}. {one.change_reader if self.backward else one.change_writer} [{one.kind}]"


def judge(new: Schema, earlier: Sequence[tuple[int, Schema]], level: Level) -> list[Finding]:
    """Return what keeps a new schema from following earlier ones; empty when it may.

    Args:
        new: the schema to register.
        earlier: (version, schema), oldest first.
        level: which of them it has to work with, and in which direction.
    """
    findings: list[Finding] = []
    for version, old in earlier if level.transitive else earlier[-1:]:
        if level.backward:
            findings.extend(Finding(version, True, one) for one in problems(new, old))
        if level.forward:
            findings.extend(Finding(version, False, one) for one in problems(old, new))
    return findings


def problems(reader: Schema, writer: Schema) -> list[Problem]:
    """Return why data of `writer` cannot always be read with `reader`; empty when it can."""
    resolution = _Resolution()
    resolution.resolve(reader, writer, label_of(reader).rpartition(".")[2])
    return resolution.found


def matches(reader: Schema, writer: Schema) -> bool:
    """Return whether a branch of a reader's union is the one for a writer's schema: kinds and names alone, as the specification has it."""
    match reader, writer:
        case _, Union():
            found = True
        case Union(branches=branches), _:
            found = any(matches(branch, writer) for branch in branches)
        case Primitive(kind=ours), Primitive(kind=theirs):
            found = ours == theirs or ours in _PROMOTIONS.get(theirs, ())
        case (Array(items=mine), Array(items=yours)) | (Map(values=mine), Map(values=yours)):
            found = matches(mine, yours)
        case Fixed() as one, Fixed() as other:
            found = same_name(one, other) and one.size == other.size
        case (Record() | Enum() as one, Record() | Enum() as other):
            found = one.kind == other.kind and same_name(one, other)
        case _:
            found = False
    return found


def same_name(reader: Named, writer: Named) -> bool:
    """Names match without their namespace; a reader's alias stands for a full name."""
    return reader.name.rpartition(".")[2] == writer.name.rpartition(".")[2] or writer.name in reader.aliases


@dataclass(slots=True)
class _Resolution:
    """Problems found so far, and the pairs of records compared: a record may contain itself."""

    found: list[Problem] = field(default_factory=list)
    compared: set[tuple[int, int]] = field(default_factory=set)

    def resolve(self, reader: Schema, writer: Schema, path: str) -> None:
        match reader, writer:
            case _, Union(branches=branches):
                for branch in branches:
                    self.resolve(reader, branch, path)
            case Union(branches=branches), _:
                self._branch(branches, writer, path)
            case Primitive() as ours, Primitive() as theirs if ours.kind == theirs.kind or ours.kind in _PROMOTIONS.get(theirs.kind, ()):
                self._logical(ours.logical, theirs.logical, path)
            case Array(items=mine), Array(items=yours):
                self.resolve(mine, yours, f"{path}[]")
            case Map(values=mine), Map(values=yours):
                self.resolve(mine, yours, path + "{}")
            case (Record() | Enum() | Fixed() as ours, Record() | Enum() | Fixed() as theirs) if ours.kind == theirs.kind:
                self._named(ours, theirs, path)
            case _:
                self._type(reader, writer, path)

    def _named(self, reader: Named, writer: Named, path: str) -> None:
        match reader, writer:
            case _ if not same_name(reader, writer):
                self._name(reader, writer, path)
            case Record() as ours, Record() as theirs:
                self._record(ours, theirs, path)
            case Enum() as ours, Enum() as theirs:
                self._enum(ours, theirs, path)
            case Fixed() as ours, Fixed() as theirs:
                self._fixed(ours, theirs, path)

    def _add(self, kind: str, path: str, text: str, change_reader: str, change_writer: str) -> None:
        self.found.append(Problem(kind, path, text, change_reader, change_writer))

    def _type(self, reader: Schema, writer: Schema, path: str) -> None:
        self._add(
            "TYPE_MISMATCH",
            path,
            f"{_say(writer)} was written, which is no {_say(reader)}",
            f"Keep the type, or make it the union of {_say(writer)} and {_say(reader)}.",
            f"Keep the type {_say(reader)}, or add a new field beside it.",
        )

    def _name(self, reader: Named, writer: Named, path: str) -> None:
        self._add(
            "NAME_MISMATCH",
            path,
            f"the {reader.kind} {writer.name!r} is called {reader.name!r} by the reader",
            f'Add "aliases": ["{writer.name}"] to {reader.name}, or keep the name.',
            f"Keep the name {reader.name!r}.",
        )

    def _fixed(self, reader: Fixed, writer: Fixed, path: str) -> None:
        if reader.size != writer.size:
            self._add(
                "FIXED_SIZE_MISMATCH",
                path,
                f"{writer.size} bytes are written, {reader.size} are read",
                f"Keep the size {writer.size}, or declare a type of another name beside it.",
                f"Keep the size {reader.size}, or declare a type of another name beside it.",
            )
        else:
            self._logical(reader.logical, writer.logical, path)

    def _enum(self, reader: Enum, writer: Enum, path: str) -> None:
        missing = [symbol for symbol in writer.symbols if symbol not in reader.symbols]
        if missing and reader.default is None:
            words = ", ".join(missing)
            self._add(
                "MISSING_ENUM_SYMBOLS",
                path,
                f"the reader does not know {'the symbol' if len(missing) == 1 else 'the symbols'} {words}",
                f"Keep {words} in {reader.name}, or give the enum a default.",
                f"Leave {words} out of {writer.name}: readers without a default for the enum cannot take new symbols.",
            )

    def _branch(self, branches: tuple[Schema, ...], writer: Schema, path: str) -> None:
        branch = next((one for one in branches if matches(one, writer)), None)
        if branch is None:
            known = ", ".join(map(_say, branches)) or "nothing"
            self._add(
                "MISSING_UNION_BRANCH",
                path,
                f"{_say(writer)} is no branch of the reader's union of {known}",
                f"Keep {_say(writer)} in the union.",
                f"Leave {_say(writer)} out: readers know {known} only.",
            )
        else:
            self.resolve(branch, writer, f"{path}<{_say(branch)}>")

    def _record(self, reader: Record, writer: Record, path: str) -> None:
        pair = (id(reader), id(writer))
        if pair in self.compared:
            return
        self.compared.add(pair)
        written = pair_fields(reader, writer)
        for ours in reader.fields:
            theirs = written.get(ours.name)
            if theirs is not None:
                self.resolve(ours.type, theirs.type, f"{path}.{ours.name}")
            elif not ours.has_default:
                self._add(
                    "READER_FIELD_MISSING_DEFAULT_VALUE",
                    f"{path}.{ours.name}",
                    "the field is not written and has no default",
                    f"Give the field {ours.name!r} a default.",
                    f"Keep the field {ours.name!r}: readers have no default for it.",
                )

    def _logical(self, reader: Logical | None, writer: Logical | None, path: str) -> None:
        if reader is None or writer is None or reader == writer:
            return
        if reader.name == writer.name == "decimal" or (_unit(reader) and _unit(writer) and _unit(reader) != _unit(writer)):
            self._add(
                "TYPE_MISMATCH",
                path,
                f"{_words(writer)} was written, {_words(reader)} is read: values would be wrong without an error",
                f"Keep {_words(writer)}, or add a new field beside it.",
                f"Keep {_words(reader)}, or add a new field beside it.",
            )


def pair_fields(reader: Record, writer: Record) -> dict[str, Field]:
    """Return, by the reader's field name, the writer's field that is read into it: the one of that name, else one that is an alias."""
    by_name = {one.name: one for one in writer.fields}
    pairs = {ours.name: by_name[ours.name] for ours in reader.fields if ours.name in by_name}
    taken = {one.name for one in pairs.values()}
    for ours in reader.fields:
        if ours.name not in pairs:
            alias = next((one for one in writer.fields if one.name in ours.aliases and one.name not in taken), None)
            if alias is not None:
                pairs[ours.name] = alias
    return pairs


def _unit(logical: Logical) -> str | None:
    return next((unit for unit in _TIME_UNITS if logical.name.endswith(f"-{unit}")), None)


def _words(logical: Logical) -> str:
    return f"decimal({logical.precision}, {logical.scale})" if logical.name == "decimal" else logical.name


def _say(schema: Schema) -> str:
    return f"{schema.kind} {schema.name}" if isinstance(schema, Record | Enum | Fixed) else schema.kind
