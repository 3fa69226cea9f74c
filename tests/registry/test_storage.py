"""Storage: concurrent registrations from threads and processes, restarts, foreign contents; the same on both engines."""

import json
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from tests.registry.support import record
from tests.registry.worker import SUBJECT, opened, register_all, schema

from trunkline.log.codec.builtin import SUBJECTS
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.registry.builtin import install
from trunkline.registry.errors import Refused
from trunkline.registry.postgres import PostgresDatabase
from trunkline.registry.service import Registry, Submitted
from trunkline.registry.sqlite import SqliteDatabase
from trunkline.registry.storage import Database

ROOT = Path(__file__).parents[2]


def test_two_processes_and_threads_get_the_same_ids(place: str, tmp_path: Path) -> None:
    """Registrations are idempotent and race-free: the same schema has one id and one version, whoever was first."""
    numbers = list(range(12))
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.registry.worker", tmp_path, place, *map(str, order)], stdout=subprocess.PIPE, cwd=ROOT
        )
        for order in (numbers, numbers[::-1])
    ]
    with ThreadPoolExecutor(4) as threads:
        orders = (numbers, numbers[::-1], numbers[6:] + numbers[:6], numbers[3:] + numbers[:3])
        own = [threads.submit(register_all, place, str(tmp_path), order) for order in orders]
    printed = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    results = [one.result() for one in own] + [{int(number): tuple(pair) for number, pair in one.items()} for one in printed]
    assert all(result == results[0] for result in results)
    ids, versions = zip(*results[0].values(), strict=True)
    assert sorted(versions) == list(range(1, 13))
    assert sorted(ids) == list(range(1000, 1012))


def test_racing_incompatible_schemas_lets_one_in(database: Database) -> None:
    """What is judged is what is there: of schemas that cannot live together exactly one is stored."""
    registry = Registry(database)
    texts = [record(("a", kind)) for kind in ("int", "string", "boolean", "null", "long", "float", "double")]

    def attempt(text: str) -> bool:
        try:
            registry.register(SUBJECT, Submitted(text))
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(attempt, texts))
    assert sum(outcomes) == 1
    assert [one.version for one in registry.versions(SUBJECT)] == [1]


def test_everything_is_there_after_a_restart(place: str, tmp_path: Path) -> None:
    first = register_all(place, str(tmp_path), [0, 1])
    assert register_all(place, str(tmp_path), [1, 0]) == first
    database = opened(place, str(tmp_path))
    registry = Registry(database)
    assert len({one.subject for one in registry.everything()}) == len(SUBJECTS) + 1
    registry.close()


def test_a_foreign_schema_under_one_of_our_ids_is_refused(database: Database) -> None:
    with database.writing() as session:
        session.run("INSERT INTO schema_text VALUES (?, ?, ?, ?)", (SUBJECTS[0].versions[0][0], "another", '"int"', "[]"))
    with pytest.raises(Misconfigured, match="schema id 1 is kept for version 1 of"):
        install(database)


def test_a_failed_registration_leaves_nothing(database: Database) -> None:
    registry = Registry(database)
    with suppress(Refused), database.writing() as session:
        session.run("INSERT INTO setting (subject, compatibility) VALUES (?, ?)", ("x", "NONE"))
        raise Refused(42201, "in the middle")
    assert registry.level("x", default_to_global=True) == "FULL_TRANSITIVE"


def test_an_unusable_file_is_a_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "registry.sqlite"
    file.write_bytes(b"no database at all, but long enough to look at" * 50)
    with pytest.raises(Misconfigured, match=str(file)):
        SqliteDatabase(file)


def test_a_locked_file_is_retried_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.registry.sqlite._BUSY_SECONDS", 0.05)
    database = SqliteDatabase(tmp_path / "registry.sqlite")
    database.close()
    holder = sqlite3.connect(tmp_path / "registry.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(RetryLater, match="not usable now"):
        Registry(database).register(SUBJECT, Submitted(schema(0)))
    holder.execute("ROLLBACK")
    assert Registry(database).register(SUBJECT, Submitted(schema(0))).version == 1
    holder.close()
    database.close()


def test_postgres_away_and_back(dsn: str) -> None:
    database = PostgresDatabase(dsn)
    with pytest.raises(RetryLater):
        PostgresDatabase("host=/nowhere dbname=x")
    with pytest.raises(RetryLater, match="does not exist"):
        PostgresDatabase(dsn.replace("dbname=registry_", "dbname=missing_"))
    with pytest.raises(RetryLater), database.writing() as session:
        session.run("SELECT pg_terminate_backend(pg_backend_pid())")
    assert Registry(database).register(SUBJECT, Submitted(json.dumps("int"))).version == 1, "a broken connection is thrown away"
    database.close()
