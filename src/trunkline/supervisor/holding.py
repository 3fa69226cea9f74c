"""What a role process does about its surroundings: holds its place, and goes when its supervisor is gone."""

import fcntl
import os
import signal
import threading
import time
from pathlib import Path
from typing import IO, Final

from trunkline.model.errors import Misconfigured

#: Set by the supervisor for its children.
SUPERVISED: Final = "TRUNKLINE_SUPERVISED"
_PATIENCE_SECONDS: Final = 30.0
_WATCH_SECONDS: Final = 0.5


def hold_place(data_dir: Path, role: str) -> IO[str]:
    """Take the role's lock and return its file, which must stay open. One process may be a gateway, historian... of a data directory.

    Waits for a while: an earlier process of the same role may still be writing what it has.

    Raises:
        Misconfigured: another process is running this role, or the data directory cannot be written.
    """
    file = open_lock(data_dir, role.replace(":", "-"))
    deadline = time.monotonic() + (_PATIENCE_SECONDS if SUPERVISED in os.environ else 0)
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= deadline:
                file.seek(0)
                owner = file.read().strip()
                file.close()
                raise Misconfigured(f"role {role!r} of {data_dir} is already running as process {owner}: stop that one first") from None
            time.sleep(0.1)
        else:
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            return file


def open_lock(data_dir: Path, name: str) -> IO[str]:
    """Return a lock file of the data directory, opened. Raises Misconfigured when the directory cannot be written."""
    path = data_dir / "run" / f"{name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+")
    except OSError as error:
        raise Misconfigured(
            f"{error.filename or path} cannot be written: {error.strerror}: choose another data_dir, or give it to the user who runs this"
        ) from error


def follow_supervisor() -> None:
    """Send ourselves SIGTERM when the supervisor that started us is gone: orphans must not go on beside its successor."""
    if SUPERVISED not in os.environ:
        return
    parent = int(os.environ[SUPERVISED])

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="follow-supervisor", daemon=True).start()
