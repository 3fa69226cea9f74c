"""The historian is away: what needs it says so, live values go on, and it comes back by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api.conftest import NewDatabase
from tests.api.known import FLOW
from tests.api.support import Plant, plant_at, wait_for
from tests.api.test_live import frames, live, now_reading, values

from trunkline.api import pulse
from trunkline.historian.server import EmbeddedServer


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look after the historian more often than anybody would in earnest."""
    monkeypatch.setattr(pulse, "LEDGER_SECONDS", 0.3)


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[Plant]:
    with plant_at(tmp_path, f"host={tmp_path} dbname=none user=none") as plant:
        yield plant


def test_what_needs_history_says_what_to_do(lonely: Plant) -> None:
    with lonely.client() as client:
        for path in ("/tags", "/tree", f"/history?tag={FLOW}", "/events", "/ledger"):
            response = client.get(path)
            assert response.status_code == 503, path
            assert response.headers["retry-after"]
            body = response.json()
            assert body["code"] == "UNAVAILABLE"
            assert body["mend"]
        assert client.get("/deadletters").json() == {"rows": [], "total": 0, "next": None}
        assert client.get("/site").status_code == 200
        wait_for(lambda: client.get("/health").json()["status"] == "degraded", "the absence is noticed")


def test_live_values_go_on(lonely: Plant) -> None:
    """Control plane is not data plane."""
    with live(lonely, {"op": "under", "path": ""}) as socket:
        wait_for(lambda: lonely.services.hub.clients, "the client joined")
        lonely.feeder.feed([now_reading(FLOW, 7.0)])
        found = frames(socket, lambda found: FLOW in values(found) and any(frame["type"] == "error" for frame in found))
    assert next(frame for frame in found if frame["type"] == "error")["code"] == "HISTORIAN_AWAY"
    with lonely.client() as client:
        assert client.get("/latest", params={"tag": FLOW}).json()["values"][0]["v"] == 7.0


def test_it_comes_back_by_itself(server: EmbeddedServer, new_database: NewDatabase, tmp_path: Path) -> None:
    """The same connection string works again after the database was stopped and started."""
    with plant_at(tmp_path, new_database()) as plant, plant.client() as client:
        assert client.get("/tags").status_code == 200
        server.stop()
        try:
            assert client.get("/tags").status_code == 503
            wait_for(lambda: client.get("/health").json()["status"] == "degraded", "the absence is noticed")
        finally:
            server.start()
        wait_for(lambda: client.get("/tags").status_code == 200, "history is back")
        wait_for(lambda: client.get("/health").json()["status"] == "ok", "all is well again")
