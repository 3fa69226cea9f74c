"""What the registry does, apart from HTTP: register, look up, judge, delete, settings.

Every change is one writing transaction, so what is judged is what is there when the new version is stored.
"""

import json
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from trunkline.log.codec.compatibility import Level, judge
from trunkline.log.codec.declarations import InvalidSchema, Named, Schema, parse_with_names
from trunkline.registry import errors
from trunkline.registry.catalogue import GLOBAL, Catalogue, Reference, Settings, Stored, Version, digest_of
from trunkline.registry.errors import Refused, no_schema, no_subject, no_version
from trunkline.registry.storage import Database

READWRITE: Final = "READWRITE"
READONLY: Final = "READONLY"
IMPORT: Final = "IMPORT"
MODES: Final = (READWRITE, READONLY, IMPORT)
#: D-12: old data comes back after days, so all versions count, in both directions.
DEFAULT_LEVEL: Final = Level.FULL_TRANSITIVE

_SUBJECT = re.compile(r"[^\x00-\x1f\x7f/]{1,255}")
_MAX_REFERENCES: Final = 100
_NEWEST: Final = ("latest", "-1")


class Submitted(NamedTuple):
    """A schema as a client sends it.

    Attributes:
        text: JSON of the schema.
        references: types it uses that other subjects declare.
        id, version: given in mode IMPORT only, to carry a registry over as it is.
    """

    text: str
    references: tuple[Reference, ...] = ()
    id: int | None = None
    version: int | None = None


class Registry:
    """The registry. Thread-safe.

    Args:
        database: where schemas are kept.
        level: compatibility where none is set.
    """

    def __init__(self, database: Database, level: Level = DEFAULT_LEVEL) -> None:
        self._database = database
        self._level = level

    def close(self) -> None:
        """Give the storage back."""
        self._database.close()

    # --- schemas and subjects

    def schema(self, schema_id: int) -> Stored:
        """Return a schema. Raises Refused."""
        with self._database.reading() as session:
            found = Catalogue(session).schema(schema_id)
        if found is None:
            raise no_schema(f"Schema {schema_id}")
        return found

    def uses(self, schema_id: int, *, deleted: bool = False) -> list[Version]:
        """Return the versions that have a schema. Raises Refused."""
        with self._database.reading() as session:
            versions = Catalogue(session).versions_of_schema(schema_id)
        if not versions:
            raise no_schema(f"Schema {schema_id}")
        return [one for one in versions if deleted or not one.deleted]

    def everything(self, *, deleted: bool = False) -> list[Version]:
        """Return every version of every subject."""
        with self._database.reading() as session:
            return [one for one in Catalogue(session).versions() if deleted or not one.deleted]

    def versions(self, subject: str, *, deleted: bool = False) -> list[Version]:
        """Return a subject's versions, oldest first. Raises Refused when there are none."""
        with self._database.reading() as session:
            return _live(Catalogue(session), subject, deleted=deleted)

    def version(self, subject: str, version: str, *, deleted: bool = False) -> Version:
        """Return one version, by number or 'latest'. Raises Refused."""
        return _picked(self.versions(subject, deleted=deleted), version)

    def register(self, subject: str, submitted: Submitted) -> Version:
        """Store a schema as a subject's next version, or return the one that it is already.

        Raises:
            Refused: not valid, not compatible, or the subject is read-only.
        """
        if not _SUBJECT.fullmatch(subject):
            raise Refused(errors.INVALID_SUBJECT, "a subject has 1 to 255 letters, none of them '/' or a control character")
        digest = digest_of_submitted(submitted)
        with self._database.writing() as session:
            catalogue = Catalogue(session)
            schema = _parsed(catalogue, submitted.text, submitted.references)
            known = catalogue.versions(subject)
            schema_id = catalogue.id_of(digest)
            same = next((one for one in known if one.schema.id == schema_id and not one.deleted), None)
            mode = self._mode(catalogue, subject)
            if same is not None and mode != IMPORT:
                return same
            if mode == READONLY:
                raise Refused(errors.NOT_PERMITTED, f"Subject {subject} is in read-only mode")
            if mode == IMPORT:
                return _imported(catalogue, subject, submitted, schema_id)
            if submitted.id is not None or submitted.version is not None:
                raise Refused(errors.NOT_PERMITTED, f"Subject {subject} is not in import mode: 'id' and 'version' cannot be chosen")
            self._demand_compatible(catalogue, subject, schema, [one for one in known if not one.deleted])
            if schema_id is None:
                schema_id = catalogue.greatest_id() + 1
                catalogue.add_schema(schema_id, _compact(submitted.text), submitted.references)
            number = max((one.version for one in known), default=0) + 1
            catalogue.add_version(subject, number, schema_id)
            return Version(subject, number, Stored(schema_id, _compact(submitted.text), submitted.references), deleted=False)

    def lookup(self, subject: str, submitted: Submitted, *, deleted: bool = False) -> Version:
        """Return the version of a subject that a schema is. Raises Refused."""
        digest = digest_of_submitted(submitted)
        with self._database.reading() as session:
            catalogue = Catalogue(session)
            _parsed(catalogue, submitted.text, submitted.references)
            versions = _live(catalogue, subject, deleted=deleted)
            schema_id = catalogue.id_of(digest)
        for one in reversed(versions):
            if one.schema.id == schema_id:
                return one
        raise no_schema()

    def referenced_by(self, subject: str, version: str) -> list[int]:
        """Return the ids of schemas that use types of a version. Raises Refused."""
        with self._database.reading() as session:
            catalogue = Catalogue(session)
            one = _picked(_live(catalogue, subject, deleted=True), version)
            return _referrers(catalogue, one)

    # --- compatibility

    def compatible(self, subject: str, submitted: Submitted, version: str | None) -> list[str]:
        """Return what keeps a schema from following one version (None: those that its level asks for); empty when nothing does.

        Raises:
            Refused: the schema is not valid, or there is no such version.
        """
        with self._database.reading() as session:
            catalogue = Catalogue(session)
            schema = _parsed(catalogue, submitted.text, submitted.references)
            versions = [one for one in catalogue.versions(subject) if not one.deleted]
            if version is not None:
                if not versions:
                    raise no_subject(subject)
                versions = [_picked(versions, version)]
            return self._incompatibilities(catalogue, subject, schema, versions)

    def _incompatibilities(self, catalogue: Catalogue, subject: str, schema: Schema, versions: Sequence[Version]) -> list[str]:
        earlier = [(one.version, _parsed(catalogue, one.schema.text, one.schema.references)) for one in versions]
        return [finding.message for finding in judge(schema, earlier, self._level_of(catalogue, subject))]

    def _demand_compatible(self, catalogue: Catalogue, subject: str, schema: Schema, versions: Sequence[Version]) -> None:
        found = self._incompatibilities(catalogue, subject, schema, versions)
        if found:
            level = self._level_of(catalogue, subject)
            text = f'Schema being registered is incompatible with an earlier schema for subject "{subject}" at level {level}: '
            raise Refused(errors.INCOMPATIBLE, text + " | ".join(found))

    # --- deletion

    def delete_subject(self, subject: str, *, permanent: bool = False) -> list[int]:
        """Hide every version of a subject, or take hidden ones away for good; return their numbers. Raises Refused."""
        with self._database.writing() as session:
            catalogue = Catalogue(session)
            versions = catalogue.versions(subject)
            live = [one for one in versions if not one.deleted]
            if not versions:
                raise no_subject(subject)
            if permanent and live:
                raise Refused(
                    errors.SUBJECT_NOT_SOFT_DELETED, f"Subject '{subject}' was not deleted first before being permanently deleted"
                )
            if not permanent and not live:
                raise Refused(
                    errors.SUBJECT_SOFT_DELETED, f"Subject '{subject}' was soft deleted. Set permanent=true to delete permanently"
                )
            chosen = versions if permanent else live
            for one in chosen:
                self._delete(catalogue, one, permanent=permanent)
            if permanent:
                catalogue.set(subject, Settings(None, None))
            return [one.version for one in chosen]

    def delete_version(self, subject: str, version: str, *, permanent: bool = False) -> int:
        """Hide a version, or take a hidden one away for good; return its number. Raises Refused."""
        with self._database.writing() as session:
            catalogue = Catalogue(session)
            one = _picked(_live(catalogue, subject, deleted=True), version)
            where = f"Subject '{subject}' Version {one.version}"
            if permanent and not one.deleted:
                raise Refused(errors.VERSION_NOT_SOFT_DELETED, f"{where} was not deleted first before being permanently deleted")
            if not permanent and one.deleted:
                raise Refused(errors.VERSION_SOFT_DELETED, f"{where} was soft deleted. Set permanent=true to delete permanently")
            self._delete(catalogue, one, permanent=permanent)
            return one.version

    def _delete(self, catalogue: Catalogue, one: Version, *, permanent: bool) -> None:
        if self._mode(catalogue, one.subject) == READONLY:
            raise Refused(errors.NOT_PERMITTED, f"Subject {one.subject} is in read-only mode")
        if _referrers(catalogue, one):
            raise Refused(errors.REFERENCE_EXISTS, f"One or more references exist to the schema {one.subject} version {one.version}")
        if permanent:
            catalogue.remove(one)
        else:
            catalogue.soft_delete(one)

    # --- settings

    def level(self, subject: str = GLOBAL, *, default_to_global: bool = False) -> Level:
        """Return the compatibility level set for a subject, or for all. Raises Refused when a subject has none of its own."""
        with self._database.reading() as session:
            catalogue = Catalogue(session)
            if subject == GLOBAL or default_to_global:
                return self._level_of(catalogue, subject)
            own = catalogue.settings(subject).compatibility
        if own is None:
            text = f"Subject '{subject}' does not have subject-level compatibility configured"
            raise Refused(errors.SUBJECT_COMPATIBILITY_NOT_SET, text)
        return Level(own)

    def set_level(self, level: str | None, subject: str = GLOBAL) -> Level:
        """Set the compatibility level, or with None go back to the default; return the level that was in force. Raises Refused."""
        if level is not None and level not in Level.__members__:
            raise Refused(errors.INVALID_COMPATIBILITY, f"Invalid compatibility level. Valid values are {', '.join(Level)}")
        with self._database.writing() as session:
            catalogue = Catalogue(session)
            before, settings = self._level_of(catalogue, subject), catalogue.settings(subject)
            catalogue.set(subject, settings._replace(compatibility=level))
            return before

    def mode(self, subject: str = GLOBAL, *, default_to_global: bool = False) -> str:
        """Return the mode of a subject, or of all. Raises Refused when a subject has none of its own."""
        with self._database.reading() as session:
            catalogue = Catalogue(session)
            if subject == GLOBAL or default_to_global:
                return self._mode(catalogue, subject)
            own = catalogue.settings(subject).mode
        if own is None:
            raise Refused(errors.SUBJECT_MODE_NOT_SET, f"Subject '{subject}' does not have subject-level mode configured")
        return own

    def set_mode(self, mode: str | None, subject: str = GLOBAL, *, force: bool = False) -> str:
        """Set the mode, or with None go back to the default; return the mode that was in force. Raises Refused."""
        if mode is not None and mode not in MODES:
            raise Refused(errors.INVALID_MODE, f"Invalid mode. Valid values are {', '.join(MODES)}")
        with self._database.writing() as session:
            catalogue = Catalogue(session)
            if mode == IMPORT and not force and any(not one.deleted for one in catalogue.versions(subject or None)):
                raise Refused(errors.NOT_PERMITTED, "Cannot import since found existing subjects: use force=true to import beside them")
            before, settings = self._mode(catalogue, subject), catalogue.settings(subject)
            catalogue.set(subject, settings._replace(mode=mode))
            return before

    def _level_of(self, catalogue: Catalogue, subject: str) -> Level:
        return Level(catalogue.settings(subject).compatibility or catalogue.settings().compatibility or self._level)

    def _mode(self, catalogue: Catalogue, subject: str) -> str:
        return catalogue.settings(subject).mode or catalogue.settings().mode or READWRITE


def digest_of_submitted(submitted: Submitted) -> str:
    """Return the digest of a schema that may be no JSON at all. Raises Refused."""
    try:
        return digest_of(submitted.text, submitted.references)
    except (ValueError, RecursionError) as error:
        raise Refused(errors.INVALID_SCHEMA, f"Invalid schema: the schema is no JSON: {error}") from None


def _compact(text: str) -> str:
    return json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)


def _live(catalogue: Catalogue, subject: str, *, deleted: bool) -> list[Version]:
    versions = [one for one in catalogue.versions(subject) if deleted or not one.deleted]
    if not versions:
        raise no_subject(subject)
    return versions


def _picked(versions: Sequence[Version], version: str) -> Version:
    """Return the version of a number; 'latest' is the last that is not deleted."""
    if version in _NEWEST:
        newest = next((one for one in reversed(versions) if not one.deleted), None)
        if newest is None:
            raise no_version(version)
        return newest
    if not version.isascii() or not version.isdigit() or not 0 < int(version) < 2**31:
        text = (
            f"The specified version '{version}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\""
        )
        raise Refused(errors.INVALID_VERSION, text)
    for one in versions:
        if one.version == int(version):
            return one
    raise no_version(version)


def _parsed(catalogue: Catalogue, text: str, references: Sequence[Reference]) -> Schema:
    """Parse a schema with everything that it refers to. Raises Refused."""
    known: dict[str, Named] = {}
    try:
        _learn(catalogue, references, known, set())
        return parse_with_names(text, known)[0]
    except InvalidSchema as error:
        raise Refused(errors.INVALID_SCHEMA, f"Invalid schema: {error}") from None


def _learn(catalogue: Catalogue, references: Sequence[Reference], known: dict[str, Named], seen: set[tuple[str, int]]) -> None:
    for one in references:
        if (one.subject, one.version) in seen:
            continue
        seen.add((one.subject, one.version))
        if len(seen) > _MAX_REFERENCES:
            raise InvalidSchema(f"more than {_MAX_REFERENCES} references")
        found = next((version for version in catalogue.versions(one.subject) if version.version == one.version), None)
        if found is None:
            raise InvalidSchema(f"no schema reference found for subject {one.subject!r} and version {one.version}")
        _learn(catalogue, found.schema.references, known, seen)
        _, names = parse_with_names(found.schema.text, known)
        if one.name not in names:
            raise InvalidSchema(f"version {one.version} of subject {one.subject!r} declares no {one.name!r}")
        known.update(names)


def _referrers(catalogue: Catalogue, one: Version) -> list[int]:
    return sorted(
        {
            other.schema.id
            for other in catalogue.versions()
            if not other.deleted and any((ref.subject, ref.version) == (one.subject, one.version) for ref in other.schema.references)
        }
    )


def _imported(catalogue: Catalogue, subject: str, submitted: Submitted, known_id: int | None) -> Version:
    """Store a schema under the id and version that it has elsewhere, without judging it."""
    if submitted.id is None or submitted.version is None:
        raise Refused(errors.NOT_PERMITTED, f"Subject {subject} is in import mode: send 'id' and 'version'")
    if submitted.id < 1 or submitted.version < 1:
        raise Refused(errors.INVALID_VERSION, "'id' and 'version' are counted from 1")
    if known_id is not None and known_id != submitted.id:
        raise Refused(errors.NOT_PERMITTED, f"the schema has the id {known_id} already")
    text = _compact(submitted.text)
    if known_id is None:
        holder = catalogue.holder_of(submitted.id)
        if holder is not None:
            raise Refused(errors.NOT_PERMITTED, f"Overwrite new schema with id {submitted.id} is not permitted: another schema has it")
        catalogue.add_schema(submitted.id, text, submitted.references)
    made = Version(subject, submitted.version, Stored(submitted.id, text, submitted.references), deleted=False)
    for one in catalogue.versions(subject):
        if one.version == submitted.version:
            if one.schema.id != submitted.id:
                raise Refused(errors.NOT_PERMITTED, f"version {one.version} of {subject} is another schema")
            return one
    catalogue.add_version(subject, submitted.version, submitted.id)
    return made
