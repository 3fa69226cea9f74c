"""The page: built files when they are there, and a word on how to build them when they are not."""

from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response
from starlette.responses import FileResponse, HTMLResponse

from trunkline.api.problem import Problem

FOLDER: Final = Path(__file__).parent / "static"
#: Built files carry a hash of their content in their name.
_HASHED: Final = "assets"
_YEAR: Final = "public, max-age=31536000, immutable"
_MISSING: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Trunkline</title>
<h1>The page is not built</h1>
<p>The API works: see <code>/api/v1/health</code>. Run <code>make ui</code> in the source tree, or install a released package.</p>
</html>"""


def install(app: FastAPI, folder: Path = FOLDER) -> None:
    """Serve the page on every path that no route has."""
    root = folder.resolve()

    @app.api_route("/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request, path: str) -> Response:
        if path.startswith("api/"):
            raise Problem(404, "NOT_FOUND", "Not found", f"There is no {request.method} /{path[:200]}.", "See the API reference.")
        wanted = (root / path).resolve() if "\0" not in path else root
        if wanted.is_relative_to(root) and wanted.is_file():
            caching = _YEAR if wanted.parent == root / _HASHED else "no-cache"
            return FileResponse(wanted, headers={"Cache-Control": caching})
        index = root / "index.html"
        if path.startswith(f"{_HASHED}/"):
            raise Problem(404, "NOT_FOUND", "Not found", "There is no such file.", "Load the page again: it may have been updated.")
        if not index.is_file():
            return HTMLResponse(_MISSING, headers={"Cache-Control": "no-cache"})
        # the page's own routes: it finds out itself what was asked for
        return FileResponse(index, headers={"Cache-Control": "no-cache"})
