"""Writes a package with a source of its own: complete, small, and working at once with the device without hardware that it brings.

The files are templates in `trunkline/sources/template`; every one is needed by the contract or by the container.
"""

import re
import runpy
from collections.abc import Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Final

from trunkline import __version__
from trunkline.config.plugins import source_types
from trunkline.model.errors import Misconfigured
from trunkline.sources.options import options_of, readme_with

#: Lower-case words with single '-' or '_' between: a name of a source, of a distribution (PEP 508) and, behind a prefix, of a module.
_NAME: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_LONGEST_NAME: Final = 40

#: file of the package -> template
LAYOUT: Final = {
    "pyproject.toml": "pyproject.toml.in",
    "Dockerfile": "Dockerfile.in",
    ".dockerignore": "dockerignore.in",
    ".gitignore": "gitignore.in",
    "src/$module/__init__.py": "init.py.in",
    "src/$module/config.py": "config.py.in",
    "src/$module/source.py": "source.py.in",
    "src/$module/README.md": "README.md.in",
    "src/$module/example.yaml": "example.yaml.in",
    "src/$module/tests/device.py": "device.py.in",
    "src/$module/tests/harness.py": "harness.py.in",
    "src/$module/tests/test_conformance.py": "test_conformance.py.in",
    "src/$module/tests/test_source.py": "test_source.py.in",
}


def words_of(name: str) -> dict[str, str]:
    """Return what the templates call a source: its name, module, distribution and class, and the version of Trunkline it is written for.

    Raises:
        Misconfigured: it is no name, or an installed package has it.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        guess = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")[:_LONGEST_NAME].strip("-")
        raise Misconfigured(
            f"{name!r} is no name of a source: use lower-case letters and digits, with single '-' or '_' between, "
            f"a letter first, at most {_LONGEST_NAME}; try {guess or 'my-device'!r}"
        )
    slug = re.sub("[-_]", " ", name)
    words = {
        "name": name,
        "module": f"trunkline_{slug.replace(' ', '_')}",
        "distribution": f"trunkline-{slug.replace(' ', '-')}",
        "Class": slug.title().replace(" ", ""),
        "version": __version__,
    }
    if name in source_types():
        raise Misconfigured(f"a source named {name!r} is installed: choose another name")
    if find_spec(words["module"]) is not None:
        raise Misconfigured(f"a package named {words['module']} is installed: choose another name")
    return words


def write_package(name: str, directory: Path | None = None) -> Path:
    """Write a new package and return its folder.

    Args:
        name: of the source, for `type` in site files.
        directory: where to; must be empty or not there. By default the distribution's name, in the working directory.

    Raises:
        Misconfigured: the name cannot be used, or there is something in the folder.
    """
    words = words_of(name)
    folder = directory or Path(words["distribution"])
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Misconfigured(f"{folder} is there and not empty: nothing was written; choose another folder with --dir, or remove it")
    for target, text in _filled(words):
        file = folder / target
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    package = folder / "src" / words["module"]
    model = runpy.run_path(str(package / "config.py"))[f"{words['Class']}Config"]
    page = package / "README.md"
    page.write_text(readme_with(page.read_text("utf-8"), options_of(model)) or "", "utf-8")
    return folder


def _filled(words: dict[str, str]) -> Iterator[tuple[str, str]]:
    templates = files("trunkline.sources") / "template"
    for target, template in LAYOUT.items():
        text = (templates / template).read_text("utf-8")
        yield Template(target).substitute(words), Template(text).substitute(words)
