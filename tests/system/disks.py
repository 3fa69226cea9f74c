"""Disks that are read-only or full: real file systems where we may mount them, else what a plain user has."""

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def mounted(where: Path, options: str) -> Iterator[Path]:
    """Mount a file system in memory; for the superuser."""
    where.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(where)], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


@contextmanager
def read_only(where: Path) -> Iterator[Path]:
    """Give a directory that nobody can write: modes stop a plain user, only a mount stops the superuser."""
    if os.geteuid() == 0:
        with mounted(where, "ro,size=64k"):
            yield where
        return
    where.mkdir(parents=True, exist_ok=True)
    where.chmod(0o500)
    try:
        yield where
    finally:
        where.chmod(0o700)


class SmallDisk:
    """A disk that can be filled and freed: a small file system for the superuser, else a limit on the size of a process's files."""

    def __init__(self, where: Path) -> None:
        self._ballast = where / "ballast"

    def fill(self, pid: int) -> None:
        """Leave no room for the process."""
        if os.geteuid():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
            return
        with self._ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\x00" * 4096)

    def free(self, pid: int) -> None:
        """Make room again."""
        if os.geteuid():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        else:
            self._ballast.unlink()


@contextmanager
def small_disk(where: Path) -> Iterator[SmallDisk]:
    """Give a directory on a disk of 8 MB."""
    if os.geteuid() == 0:
        with mounted(where, "size=8m"):
            yield SmallDisk(where)
    else:
        where.mkdir(parents=True, exist_ok=True)
        yield SmallDisk(where)
