"""The page and its files."""

from pathlib import Path

import httpx
import pytest
from tests.api.support import Plant

from trunkline.api.app import create_app


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "built"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>the page</title>")
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / "assets" / "index-abc123.js").write_text("export {}")
    (tmp_path / "outside.txt").write_text("not for you")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    return folder


async def get(plant: Plant, folder: Path, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(create_app(plant.services, static_dir=folder))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get(path)


async def test_files_and_routes_of_the_page(plant: Plant, built: Path) -> None:
    """GD-10: hashed files are kept for a year, the page itself is looked at again every time."""
    index = await get(plant, built, "/")
    assert "the page" in index.text
    assert index.headers["cache-control"] == "no-cache"
    assert (await get(plant, built, "/trends?tags=A")).text == index.text
    script = await get(plant, built, "/assets/index-abc123.js")
    assert "immutable" in script.headers["cache-control"]
    assert script.headers["content-type"].startswith("text/javascript")
    assert (await get(plant, built, "/favicon.svg")).headers["content-type"] == "image/svg+xml"
    assert (await get(plant, built, "/assets/index-old.js")).status_code == 404


@pytest.mark.parametrize(
    "path", ["/../outside.txt", "/%2e%2e/outside.txt", "/..%2foutside.txt", "/link.txt", "/%00", "//etc/passwd", "/a%00b"]
)
async def test_nothing_outside_is_served(plant: Plant, built: Path, path: str) -> None:
    response = await get(plant, built, path)
    assert "not for you" not in response.text
    assert "root:" not in response.text
    assert response.status_code in {200, 404}


async def test_without_a_built_page_it_says_how(plant: Plant, tmp_path: Path) -> None:
    response = await get(plant, tmp_path / "none", "/")
    assert response.status_code == 200
    assert "make ui" in response.text
