import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from trunkline.historian.server import EmbeddedServer

HOLD = """
import sys, time
from pathlib import Path
from trunkline.historian.server import EmbeddedServer
print(EmbeddedServer(Path(sys.argv[1])).start(), flush=True)
time.sleep(600)
"""


def value(conninfo: str, query: str) -> object:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]


def test_a_server_survives_whoever_started_it_and_comes_back_when_killed(tmp_path: Path) -> None:
    """P-87, PD-35 and issue 3: adopted after SIGKILL of its user, recovered after its own, stale pid files are no obstacle."""
    folder = tmp_path / ("deep" * 30) / "pg"  # too long a path for a socket
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    conninfo = next(line.strip() for line in holder.stdout if line.startswith("host="))
    server = EmbeddedServer(folder)
    try:
        with psycopg.connect(conninfo) as connection:
            connection.execute("CREATE TABLE kept (n int)")
            connection.execute("INSERT INTO kept VALUES (1)")
        holder.kill()
        holder.wait()
        holder.stdout.close()
        first = server.pid()
        assert server.start() == conninfo
        assert server.pid() == first
        assert first is not None
        os.kill(first, signal.SIGKILL)
        server.start()
        assert value(conninfo, "SELECT n FROM kept") == 1
        server.stop()
        assert server.pid() is None
        server.stop()
        (folder / "postmaster.pid").write_text(f"{os.getpid()}\n{folder}\n")  # the number belongs to somebody else by now
        server.start()
        assert value(conninfo, "SELECT n FROM kept") == 1
    finally:
        server.stop()


def test_the_server_is_set_up_as_documented(server: EmbeddedServer) -> None:
    """PD-35: checksums on; UTF-8, UTC, durable commits; no network."""
    expected = {
        "data_checksums": "on",
        "server_encoding": "UTF8",
        "timezone": "UTC",
        "synchronous_commit": "on",
        "fsync": "on",
        "listen_addresses": "",
    }
    for setting, wanted in expected.items():
        assert value(server.conninfo, f"SHOW {setting}") == wanted
    assert (Path(str(psycopg.conninfo.conninfo_to_dict(server.conninfo)["host"])).stat().st_mode & 0o077) == 0


def test_only_the_owner_may_connect(server: EmbeddedServer) -> None:
    """P-96: no password to leak: the system tells PostgreSQL who connects."""
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.conninfo.replace("user=trunkline", "user=somebody"))
    rules = value(server.conninfo, "SELECT string_agg(type || ' ' || auth_method, ',') FROM pg_hba_file_rules")
    assert rules == "local peer"


def test_start_and_stop_are_quick_to_repeat(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "pg") as server:
        assert value(server.conninfo, "SELECT 1") == 1
    deadline = time.monotonic() + 30
    while server.pid() is not None:
        assert time.monotonic() < deadline
