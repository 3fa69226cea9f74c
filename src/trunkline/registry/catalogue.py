"""What is in the registry: the statements, and nothing about what may be done."""

import hashlib
import json
from typing import Final, NamedTuple

import msgspec

from trunkline.registry.storage import Session

#: Ids below this are built in and the same everywhere.
FIRST_FREE_ID: Final = 1000
#: Subject under which the settings for all subjects are kept: no subject has an empty name.
GLOBAL: Final = ""


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named type declared in another subject.

    Attributes:
        name: full name of the type.
        subject, version: where it is declared.
    """

    name: str
    subject: str
    version: int


class Stored(NamedTuple):
    """A schema under its id."""

    id: int
    text: str
    references: tuple[Reference, ...]


class Version(NamedTuple):
    """A schema as a version of a subject; a soft-deleted one can still be read by id."""

    subject: str
    version: int
    schema: Stored
    deleted: bool


class Settings(NamedTuple):
    """What is set for a subject, or for all; None where nothing is."""

    compatibility: str | None
    mode: str | None


_decoder = msgspec.json.Decoder(tuple[Reference, ...])
_VERSION: Final = (
    "SELECT v.subject, v.version, v.schema_id, s.text, s.refs, v.deleted FROM subject_version v JOIN schema_text s ON s.id = v.schema_id"
)


def digest_of(text: str, references: tuple[Reference, ...]) -> str:
    """Return what tells schemas apart: spaces and the order of keys do not count, documentation and defaults do."""
    same = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(same.encode() + b"\0" + msgspec.json.encode(references)).hexdigest()


class Catalogue:
    """Reads and writes one transaction's view of the registry."""

    def __init__(self, session: Session) -> None:
        self._run = session.run

    def schema(self, schema_id: int) -> Stored | None:
        """Return the schema of an id, as long as a version, deleted or not, has it."""
        rows = self._run(
            "SELECT id, text, refs FROM schema_text WHERE id = ? AND EXISTS (SELECT 1 FROM subject_version WHERE schema_id = id)",
            (schema_id,),
        )
        return _stored(*rows[0]) if rows else None

    def id_of(self, digest: str) -> int | None:
        """Return the id that a schema has ever had."""
        rows = self._run("SELECT id FROM schema_text WHERE digest = ?", (digest,))
        return int(rows[0][0] or 0) if rows else None

    def holder_of(self, schema_id: int) -> str | None:
        """Return the digest of the schema that has ever had an id."""
        rows = self._run("SELECT digest FROM schema_text WHERE id = ?", (schema_id,))
        return str(rows[0][0]) if rows else None

    def greatest_id(self) -> int:
        """Return the greatest id given so far."""
        return max(int(self._run("SELECT max(id) FROM schema_text")[0][0] or 0), FIRST_FREE_ID - 1)

    def add_schema(self, schema_id: int, text: str, references: tuple[Reference, ...]) -> None:
        """Store a schema."""
        row = (schema_id, digest_of(text, references), text, msgspec.json.encode(references).decode())
        self._run("INSERT INTO schema_text (id, digest, text, refs) VALUES (?, ?, ?, ?)", row)

    def versions(self, subject: str | None = None) -> list[Version]:
        """Return the versions of a subject, or of all, oldest first, deleted ones included."""
        if subject is None:
            rows = self._run(f"{_VERSION} ORDER BY v.subject, v.version")
        else:
            rows = self._run(f"{_VERSION} WHERE v.subject = ? ORDER BY v.version", (subject,))
        return [_version(*row) for row in rows]

    def versions_of_schema(self, schema_id: int) -> list[Version]:
        """Return the versions that have a schema."""
        return [_version(*row) for row in self._run(f"{_VERSION} WHERE v.schema_id = ? ORDER BY v.subject, v.version", (schema_id,))]

    def add_version(self, subject: str, version: int, schema_id: int) -> None:
        """Store a version."""
        self._run("INSERT INTO subject_version (subject, version, schema_id) VALUES (?, ?, ?)", (subject, version, schema_id))

    def soft_delete(self, one: Version) -> None:
        """Hide a version; its id can still be read."""
        self._run("UPDATE subject_version SET deleted = 1 WHERE subject = ? AND version = ?", (one.subject, one.version))

    def remove(self, one: Version) -> None:
        """Take a version away for good."""
        self._run("DELETE FROM subject_version WHERE subject = ? AND version = ?", (one.subject, one.version))

    def settings(self, subject: str = GLOBAL) -> Settings:
        """Return what is set."""
        rows = self._run("SELECT compatibility, mode FROM setting WHERE subject = ?", (subject,))
        compatibility, mode = rows[0] if rows else (None, None)
        return Settings(None if compatibility is None else str(compatibility), None if mode is None else str(mode))

    def set(self, subject: str, settings: Settings) -> None:
        """Store settings."""
        self._run("DELETE FROM setting WHERE subject = ?", (subject,))
        if settings != (None, None):
            self._run("INSERT INTO setting (subject, compatibility, mode) VALUES (?, ?, ?)", (subject, *settings))


def _stored(schema_id: int | str | None, text: int | str | None, references: int | str | None) -> Stored:
    return Stored(int(schema_id or 0), str(text), _decoder.decode(str(references)))


def _version(*row: int | str | None) -> Version:
    subject, version, schema_id, text, references, deleted = row
    return Version(str(subject), int(version or 0), _stored(schema_id, text, references), bool(deleted))
