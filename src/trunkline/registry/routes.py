"""Paths of schemas, subjects and compatibility."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from trunkline.registry.answers import Answer, body_of, read_body, versions_page, whole, without_subject
from trunkline.registry.service import Registry

_Flag = Annotated[bool, Query()]
_Prefix = Annotated[str, Query(alias="subjectPrefix")]
_LatestOnly = Annotated[bool, Query(alias="latestOnly")]
_DeletedOnly = Annotated[bool, Query(alias="deletedOnly")]
_Raw = Annotated[bytes, Depends(read_body)]


def schemas_of(registry: Registry) -> APIRouter:
    """Return the paths under /schemas, and the root."""
    router = APIRouter()

    @router.get("/")
    def root() -> Answer:
        return Answer({})

    @router.get("/schemas/types")
    def types() -> Answer:
        return Answer(["AVRO"])

    @router.get("/schemas")
    def schemas(prefix: _Prefix = "", deleted: _Flag = False, latest_only: _LatestOnly = False, offset: int = 0, limit: int = -1) -> Answer:
        found = [one for one in registry.everything(deleted=deleted) if one.subject.startswith(prefix)]
        if latest_only:
            found = list({one.subject: one for one in found}.values())
        return Answer([whole(one) for one in versions_page(found, offset, limit)])

    @router.get("/schemas/ids/{schema_id}")
    def schema(schema_id: int) -> Answer:
        return Answer(without_subject(registry.schema(schema_id)))

    @router.get("/schemas/ids/{schema_id}/schema")
    def schema_text(schema_id: int) -> Answer:
        return Answer.of_json(registry.schema(schema_id).text)

    @router.get("/schemas/ids/{schema_id}/subjects")
    def users_of(schema_id: int, deleted: _Flag = False) -> Answer:
        return Answer(sorted({one.subject for one in registry.uses(schema_id, deleted=deleted)}))

    @router.get("/schemas/ids/{schema_id}/versions")
    def versions_of(schema_id: int, deleted: _Flag = False) -> Answer:
        return Answer([{"subject": one.subject, "version": one.version} for one in registry.uses(schema_id, deleted=deleted)])

    return router


def subjects_of(registry: Registry) -> APIRouter:
    """Return the paths under /subjects that read and register."""
    router = APIRouter(prefix="/subjects")

    @router.get("")
    def subjects(
        prefix: _Prefix = "", deleted: _Flag = False, deleted_only: _DeletedOnly = False, offset: int = 0, limit: int = -1
    ) -> Answer:
        live = {one.subject for one in registry.everything()}
        every = {one.subject for one in registry.everything(deleted=True)} if deleted or deleted_only else live
        chosen = every - live if deleted_only else every
        return Answer(versions_page(sorted(name for name in chosen if name.startswith(prefix)), offset, limit))

    @router.post("/{subject}")
    def lookup(subject: str, raw: _Raw, deleted: _Flag = False) -> Answer:
        return Answer(whole(registry.lookup(subject, body_of(raw), deleted=deleted)))

    @router.get("/{subject}/versions")
    def versions(subject: str, deleted: _Flag = False, deleted_only: _DeletedOnly = False, offset: int = 0, limit: int = -1) -> Answer:
        found = registry.versions(subject, deleted=deleted or deleted_only)
        return Answer(versions_page([one.version for one in found if one.deleted or not deleted_only], offset, limit))

    @router.post("/{subject}/versions")
    def register(subject: str, raw: _Raw) -> Answer:
        return Answer({"id": registry.register(subject, body_of(raw)).schema.id})

    @router.get("/{subject}/versions/{version}")
    def version(subject: str, version: str, deleted: _Flag = False) -> Answer:
        return Answer(whole(registry.version(subject, version, deleted=deleted)))

    @router.get("/{subject}/versions/{version}/schema")
    def version_text(subject: str, version: str, deleted: _Flag = False) -> Answer:
        return Answer.of_json(registry.version(subject, version, deleted=deleted).schema.text)

    @router.get("/{subject}/versions/{version}/referencedby")
    def referenced_by(subject: str, version: str) -> Answer:
        return Answer(registry.referenced_by(subject, version))

    return router


def deletions_of(registry: Registry) -> APIRouter:
    """Return the paths under /subjects that delete."""
    router = APIRouter(prefix="/subjects")

    @router.delete("/{subject}")
    def delete_subject(subject: str, permanent: _Flag = False) -> Answer:
        return Answer(registry.delete_subject(subject, permanent=permanent))

    @router.delete("/{subject}/versions/{version}")
    def delete_version(subject: str, version: str, permanent: _Flag = False) -> Answer:
        return Answer(registry.delete_version(subject, version, permanent=permanent))

    return router


def compatibility_of(registry: Registry) -> APIRouter:
    """Return the paths under /compatibility."""
    router = APIRouter(prefix="/compatibility/subjects/{subject}/versions")

    def verdict(messages: list[str], *, verbose: bool) -> dict[str, Any]:
        return {"is_compatible": not messages} | ({"messages": messages} if verbose else {})

    @router.post("/{version}")
    def with_one(subject: str, version: str, raw: _Raw, verbose: _Flag = False) -> Answer:
        return Answer(verdict(registry.compatible(subject, body_of(raw), version), verbose=verbose))

    @router.post("")
    def with_all(subject: str, raw: _Raw, verbose: _Flag = False) -> Answer:
        return Answer(verdict(registry.compatible(subject, body_of(raw), None), verbose=verbose))

    return router
