"""Writes the OpenAPI document: `python -m trunkline.api.openapi [--check] [FILE]`."""

import json
import sys
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI

from trunkline.api.app import add_routes, new_app

DEFAULT: Final = Path("docs/reference/openapi.json")


def document() -> dict[str, Any]:
    """Return the OpenAPI document; it is the same for every site."""
    app: FastAPI = new_app()
    add_routes(app)
    return app.openapi()


def text() -> str:
    """Return the document as it is kept in the source tree."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the document, or with --check say whether the file is up to date. Returns the exit status."""
    check = "--check" in arguments
    names = [name for name in arguments if not name.startswith("-")]
    file = Path(names[0]) if names else DEFAULT
    if check:
        if file.is_file() and file.read_text("utf-8") == text():
            return 0
        sys.stderr.write(f"{file} is out of date: run 'python -m trunkline.api.openapi'\n")
        return 1
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
