"""Packages of third parties: written into a folder as pip installs them, or installed by pip into an environment of their own."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import trunkline

#: Longest wait for anything; only a failing test waits that long.
PATIENCE = 60.0
#: Folders that hold the product and what it needs.
PRODUCT = [
    *(place for place in sys.path if Path(place).name in {"site-packages", "dist-packages"}),
    str(Path(trunkline.__file__).parents[1]),
]


def install(place: Path, name: str, code: str, *, source: str = "", version: str = "1.0") -> None:
    """Put a distribution with one module and one source into a folder of packages.

    Args:
        place: the folder.
        name: of the distribution and the module.
        code: of the module.
        source: name of the source; by default the distribution's.
        version: of the distribution.
    """
    info = place / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (place / f"{name}.py").write_text(code)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[trunkline.sources]\n{source or name} = {name}\n")


class Environment:
    """A clean virtual environment that sees the product and nothing else of this one; no network is used.

    Attributes:
        programs: folder of its programs, `trunkline` among them.
    """

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True, with_pip=False)
        self.programs = folder / "bin"
        (packages,) = folder.glob("lib/python*/site-packages")
        (packages / "product.pth").write_text("\n".join(PRODUCT))
        program = self.programs / "trunkline"
        program.write_text(f'#!/bin/sh\nexec {self.programs / "python"} -m trunkline.cli.entry "$@"\n')
        program.chmod(0o755)
        self.variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))},
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # what pip takes for 'no isolation': the build back end is the one that is here
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def run(self, *command: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment to its end."""
        return subprocess.run(
            [self.programs / command[0], *map(str, command[1:])],
            cwd=cwd,
            env={**self.variables, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * PATIENCE,
        )

    def must(self, *command: str | Path, cwd: Path, **variables: str) -> str:
        """Run a program that has to succeed, and return what it printed on standard output."""
        done = self.run(*command, cwd=cwd, **variables)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout
