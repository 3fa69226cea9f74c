"""The platform's own schemas, put into every registry under the ids that they have everywhere (D-12, D-13)."""

import json

from trunkline.log.codec.builtin import SUBJECTS, Subject
from trunkline.model.errors import Misconfigured
from trunkline.registry.catalogue import Catalogue, Settings, digest_of
from trunkline.registry.service import READONLY
from trunkline.registry.storage import Database


def install(database: Database) -> None:
    """Store what is missing; may be called by several processes at once. Built-in subjects are read-only unless somebody changes that.

    Raises:
        Misconfigured: an id of ours is taken by another schema.
    """
    with database.writing() as session:
        catalogue = Catalogue(session)
        for subject in SUBJECTS:
            _install(catalogue, subject)


def _install(catalogue: Catalogue, subject: Subject) -> None:
    there = {one.version for one in catalogue.versions(subject.name)}
    if not there and catalogue.settings(subject.name) == (None, None):
        catalogue.set(subject.name, Settings(subject.level, READONLY))
    for number, (schema_id, declaration) in enumerate(subject.versions, 1):
        text = json.dumps(declaration, separators=(",", ":"), ensure_ascii=False)
        holder = catalogue.holder_of(schema_id)
        if holder is None:
            catalogue.add_schema(schema_id, text, ())
        elif holder != digest_of(text, ()):
            raise Misconfigured(
                f"schema id {schema_id} is kept for version {number} of {subject.name}, and this registry has another schema under it: "
                "use an empty database, and import foreign schemas under ids from 1000 on"
            )
        if number not in there:
            catalogue.add_version(subject.name, number, schema_id)
