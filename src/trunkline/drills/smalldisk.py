"""A small disk under the edge journal that somebody else fills: a file system in memory, or a limit on the size of the edge's files.

The file system is mounted in a mount name space of the drill's own (mount_namespaces(7)): nobody else sees it, and it goes with the last of
the drill's processes, however that ends. It takes the right to mount; who does not have it gets the limit (setrlimit(2), RLIMIT_FSIZE),
under which no file of the edge grows any more, a reserve on the disk is of no use and alarms wait as well.
"""

import contextlib
import ctypes
import os
import resource
import shutil
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Final, Self

_CLONE_NEWNS: Final = 0x0002_0000
_MB: Final = 1_000_000
_BALLAST: Final = "ballast"
_PAGE: Final = 4096


class SmallDisk(ABC):
    """A folder whose disk can be full. Used as a context: what it holds at the end stays in the folder.

    Attributes:
        reserves: whether room that is held on it is of use when it is full.
    """

    reserves: ClassVar[bool]

    @abstractmethod
    def fill(self, pid: int | None) -> None:
        """Leave no room for the process that uses it; call it again for one that takes its place."""

    @abstractmethod
    def free(self, pid: int | None) -> None:
        """Make room again."""

    @abstractmethod
    def left(self) -> int | None:
        """Return the bytes that are free; None when nobody can say."""

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *_: object) -> None: ...


class MountedDisk(SmallDisk):
    """A file system in memory, seen by this process and those it starts from now on.

    Args:
        where: a folder; made when missing.
        size: bytes.

    Raises:
        OSError: this process may not mount.
    """

    reserves: ClassVar[bool] = True

    def __init__(self, where: Path, size: int) -> None:
        self._where = where
        self._ballast = where / _BALLAST
        where.mkdir(parents=True, exist_ok=True)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNS):
            raise OSError(ctypes.get_errno(), "a mount name space of its own is refused")
        _run("mount", "--make-rprivate", "/")  # else the mount would be seen outside, too
        _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(where))

    def fill(self, pid: int | None) -> None:
        """See `SmallDisk`. Once filled it stays full, whoever uses it: what is let go on it afterwards is free."""
        del pid
        if self._ballast.exists():
            return
        with self._ballast.open("wb") as file:
            at, step = 0, self.left()
            while step >= _PAGE:
                try:
                    os.posix_fallocate(file.fileno(), at, step)
                except OSError:  # others took some of it meanwhile
                    step //= 2
                else:
                    at, step = at + step, self.left()

    def free(self, pid: int | None) -> None:
        """See `SmallDisk`."""
        del pid
        self._ballast.unlink()

    def left(self) -> int:
        """See `SmallDisk`."""
        disk = os.statvfs(self._where)
        return disk.f_bavail * disk.f_frsize

    def __exit__(self, *_: object) -> None:
        self._ballast.unlink(missing_ok=True)
        kept = self._where.with_name(f"{self._where.name}.kept")
        shutil.copytree(self._where, kept)
        _run("umount", "--lazy", str(self._where))
        shutil.rmtree(self._where)
        kept.rename(self._where)


class LimitedFiles(SmallDisk):
    """A limit on the size of files, which holds for one process at a time. `journal`: the file that may not grow."""

    reserves: ClassVar[bool] = False

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._limit: int | None = None

    def fill(self, pid: int | None) -> None:
        """See `SmallDisk`: no file gets longer than the journal is now."""
        if self._limit is None:
            self._limit = self._journal.stat().st_size
        if pid is not None:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (self._limit, resource.RLIM_INFINITY))

    def free(self, pid: int | None) -> None:
        """See `SmallDisk`."""
        self._limit = None
        if pid is not None:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def left(self) -> int | None:
        """See `SmallDisk`."""
        return None

    def __exit__(self, *_: object) -> None:
        """The limit goes with the process."""


def small_disk(journal: Path, where: Path, megabytes: int, *, mount: bool) -> SmallDisk:
    """Return a small disk.

    Args:
        journal: the file that lies on it.
        where: the folder that is on it.
        megabytes: its size, if it is mounted.
        mount: mount one if this process may; otherwise files are limited.
    """
    if mount and os.geteuid() == 0:
        with contextlib.suppress(OSError):
            return MountedDisk(where, megabytes * _MB)
    return LimitedFiles(journal)


def _run(*command: str) -> None:
    """Run a command of the system. Raises OSError when it is refused."""
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise OSError(f"{' '.join(command)}: {error.stderr.strip()}") from error
