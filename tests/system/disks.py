"""Disks that are read-only or full: real file systems where we may mount them, else what a plain user has."""

import os
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
