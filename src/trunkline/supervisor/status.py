"""The supervisor's word on its roles: one small file that the API and the command line read."""

from pathlib import Path
from typing import Final

import msgspec
import psutil

from trunkline.model import times
from trunkline.model.errors import Misconfigured

FILE: Final = "supervisor.json"
#: A supervisor that wrote nothing for so long is not there, whoever has its process id now.
_STALE: Final = 60 * times.SECOND


class RoleStatus(msgspec.Struct, frozen=True):
    """One role's process. `state`: starting, running, failing or stopped."""

    role: str
    pid: int | None
    state: str
    since_us: int
    restarts: int
    rss_bytes: int


class SupervisorStatus(msgspec.Struct, frozen=True):
    """All roles at one moment."""

    pid: int
    at_us: int
    roles: list[RoleStatus]


def supervised(status: SupervisorStatus | None) -> bool:
    """Return whether the supervisor that wrote this is still there: killed ones leave their last word behind."""
    return status is not None and psutil.pid_exists(status.pid) and abs(times.now() - status.at_us) < _STALE


def write_status(directory: Path, status: SupervisorStatus) -> None:
    """Replace the file in one step."""
    directory.mkdir(parents=True, exist_ok=True)
    fresh = directory / f".{FILE}"
    fresh.write_bytes(msgspec.json.encode(status))
    fresh.replace(directory / FILE)


def read_status(directory: Path) -> SupervisorStatus | None:
    """Return what the supervisor wrote last, or None. Raises Misconfigured when the file cannot be read."""
    try:
        return msgspec.json.decode((directory / FILE).read_bytes(), type=SupervisorStatus)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{directory / FILE} cannot be read: {error}: remove it") from error
