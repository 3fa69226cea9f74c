"""Versioned migrations: numbered SQL files, one job under a lock (PD-34). Services only check the version."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Final

import psycopg
import structlog

from trunkline.historian.db import SCHEMA, Connection, connect, translated
from trunkline.model.errors import Misconfigured

_log = structlog.get_logger(__name__)
_LOCK: Final = 7211  # any number that nobody else uses for advisory locks

_CREATE_VERSIONS: Final = f"""
    CREATE SCHEMA IF NOT EXISTS {SCHEMA};
    CREATE TABLE IF NOT EXISTS {SCHEMA}.schema_version (
        version int PRIMARY KEY, name text NOT NULL, digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())
"""
_APPLIED: Final = "SELECT version, digest FROM schema_version ORDER BY version"
_RECORD: Final = "INSERT INTO schema_version (version, name, digest) VALUES (%s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered SQL file."""

    version: int
    name: str
    script: str

    @property
    def digest(self) -> str:
        """Says whether an applied file was changed afterwards."""
        return hashlib.sha256(self.script.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Return every migration in order."""
    folder = resources.files("trunkline.historian") / "migrations"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [Migration(int(file.name[:4]), file.name[5:-4], file.read_text(encoding="utf-8")) for file in files]


def migrate(conninfo: str) -> list[Migration]:
    """Bring the database up to this software's version; return what was applied. Safe to run from many places at once.

    Raises:
        Misconfigured: the database is newer than this software, or an applied migration was changed.
        NotConnected: no connection.
    """
    with translated(), connect(conninfo, autocommit=True, name="trunkline migrate") as connection:
        connection.execute("SELECT pg_advisory_lock(%s, 1)", (_LOCK,))
        connection.execute(_CREATE_VERSIONS)
        pending = _pending(connection)
        for migration in pending:
            with connection.transaction():
                connection.execute(migration.script)
                connection.execute(_RECORD, (migration.version, migration.name, migration.digest))
            _log.info("migration applied", version=migration.version, name=migration.name)
        return pending


def check_version(conninfo: str) -> None:
    """Return if the database has exactly this software's version.

    Raises:
        Misconfigured: it has not; the message says what to do.
        NotConnected: no connection.
    """
    with connect(conninfo, autocommit=True) as connection:
        try:
            pending = _pending(connection)
        except psycopg.errors.UndefinedTable:
            raise Misconfigured("the historian's database has no tables yet: run 'trunkline migrate'") from None
    if pending:
        names = ", ".join(f"{migration.version:04} {migration.name}" for migration in pending)
        raise Misconfigured(f"the historian's database lacks the migrations {names}: run 'trunkline migrate'")


def _pending(connection: Connection) -> list[Migration]:
    applied: dict[int, str] = dict(connection.execute(_APPLIED).fetchall())
    known = {migration.version: migration for migration in migrations()}
    if newer := sorted(applied.keys() - known.keys()):
        raise Misconfigured(f"the historian's database has migrations {newer} of a newer version: update this software")
    for version, digest in applied.items():
        if known[version].digest != digest:
            raise Misconfigured(f"migration {version:04} {known[version].name} differs from the one applied to this database")
    return [migration for version, migration in known.items() if version not in applied]
