"""Registers schemas as one process of several would, and prints id and version of each as JSON: FOLDER DSN NUMBER..."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from trunkline.registry.builtin import install
from trunkline.registry.postgres import PostgresDatabase
from trunkline.registry.service import Registry, Submitted
from trunkline.registry.sqlite import SqliteDatabase
from trunkline.registry.storage import Database

SUBJECT = "flow-value"


def schema(number: int) -> str:
    """Return one of several schemas that can follow each other in any order: each field has a default."""
    fields = [{"name": "a", "type": "int"}, {"name": f"f{number}", "type": "string", "default": ""}]
    return json.dumps({"type": "record", "name": "Reading", "fields": fields})


def opened(dsn: str, folder: str) -> Database:
    """Open the storage of a connection string, or of a folder."""
    return PostgresDatabase(dsn) if dsn else SqliteDatabase(Path(folder) / "registry.sqlite")


def register_all(dsn: str, folder: str, numbers: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Register schemas and return id and version of each."""
    database = opened(dsn, folder)
    install(database)
    registry = Registry(database)
    found = {number: registry.register(SUBJECT, Submitted(schema(number))) for number in numbers}
    registry.close()
    return {number: (one.schema.id, one.version) for number, one in found.items()}


if __name__ == "__main__":
    folder, dsn, *numbers = sys.argv[1:]
    print(json.dumps(register_all(dsn, folder, map(int, numbers))))
