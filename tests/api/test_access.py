"""Who gets in: every route, every header, every log line."""

import logging
from collections.abc import Iterator

import httpx
import pytest
from tests.api.conftest import NewDatabase
from tests.api.known import FLOW
from tests.api.support import Plant, plant_at

from trunkline.api.app import PREFIX, create_app
from trunkline.api.openapi import document
from trunkline.api.services import COOKIE, CSRF_HEADER, CSRF_VALUE
from trunkline.security.roles import Role
from trunkline.security.users import ADMINISTRATOR, add_user, reset_password, set_role

CSRF = {CSRF_HEADER: CSRF_VALUE}
OPEN = {("post", f"{PREFIX}/session"), ("get", f"{PREFIX}/health")}
ROUTES = sorted((method, path) for path, methods in document()["paths"].items() for method in methods)


@pytest.fixture
def anonymous(plant: Plant) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=plant.url, timeout=30) as client:
        yield client


def login(client: httpx.Client, password: str, username: str = ADMINISTRATOR) -> httpx.Response:
    return client.post(f"{PREFIX}/session", json={"username": username, "password": password})


def test_there_are_routes() -> None:
    assert len(ROUTES) >= 14
    assert set(ROUTES) >= OPEN


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route not in OPEN])
def test_every_route_needs_somebody(anonymous: httpx.Client, method: str, path: str) -> None:
    """Everything but logging in and health is closed without a session or token, and to made-up ones."""
    for headers in ({}, {"Authorization": "Bearer made-up"}, {"Authorization": "Basic YTpi"}, {"Cookie": f"{COOKIE}=made-up"}):
        response = anonymous.request(method, path, headers={**CSRF, **headers})
        assert response.status_code == 401, headers
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["code"] == "NOT_SIGNED_IN"
        assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("role", list(Role))
def test_every_role_may_read(plant: Plant, role: Role) -> None:
    """G-47: viewers read; the others include them."""
    token = plant.services.door.create_token(f"reads-{role.label}", role)
    with httpx.Client(base_url=f"{plant.url}{PREFIX}", headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
        assert client.get("/session").json()["role"] == role.label
        assert client.get("/history", params={"tag": FLOW}).status_code == 200
    plant.services.door.revoke_token(f"reads-{role.label}")


def test_a_session_from_login_to_logout(plant: Plant, anonymous: httpx.Client) -> None:
    """The cookie is out of reach of scripts and foreign pages."""
    response = login(anonymous, plant.password)
    assert response.status_code == 200
    assert response.json().keys() == {"username", "role", "expires_us"}
    assert (response.json()["username"], response.json()["role"]) == ("admin", "administrator")
    cookie = response.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    for part in ("HttpOnly", "SameSite=strict", "Path=/"):
        assert part in cookie
    token = anonymous.cookies[COOKIE]
    assert token not in response.text
    assert anonymous.get(f"{PREFIX}/session").json()["username"] == "admin"
    assert anonymous.delete(f"{PREFIX}/session", headers=CSRF).status_code == 204
    assert COOKIE not in anonymous.cookies
    assert anonymous.get(f"{PREFIX}/session", headers={"Cookie": f"{COOKIE}={token}"}).status_code == 401


def test_a_change_with_a_session_needs_the_header(plant: Plant, anonymous: httpx.Client) -> None:
    """A form of another page cannot set it."""
    login(anonymous, plant.password)
    response = anonymous.delete(f"{PREFIX}/session")
    assert (response.status_code, response.json()["code"]) == (403, "CSRF_HEADER_MISSING")
    assert anonymous.get(f"{PREFIX}/session").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8400", "192.0.2.1", ""])
def test_other_host_names_are_refused(anonymous: httpx.Client, host: str) -> None:
    """DNS rebinding: the name in the address bar is the attacker's."""
    for path in (f"{PREFIX}/health", "/", "/metrics"):
        response = anonymous.get(path, headers={"Host": host})
        assert response.status_code in {400, 403}
        if response.status_code == 403:
            assert response.json()["code"] == "HOST_NOT_ALLOWED"


def test_names_of_the_site_file_are_hosts(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> None:
    with plant_at(tmp_path_factory.mktemp("named"), new_database(), extra="api: {allowed_hosts: [scada.example]}\n") as plant:
        health = f"{plant.url}{PREFIX}/health"
        assert httpx.get(health, headers={"Host": "scada.example"}).status_code == 200
        assert httpx.get(health, headers={"Host": "other.example"}).status_code == 403


def test_foreign_pages_cannot_change_anything(plant: Plant, anonymous: httpx.Client) -> None:
    for origin in ("http://evil.example", "null", "http://localhost:1"):
        response = anonymous.post(f"{PREFIX}/session", json={"username": "admin", "password": plant.password}, headers={"Origin": origin})
        assert (response.status_code, response.json()["code"]) == (403, "ORIGIN_NOT_ALLOWED")
    own = anonymous.post(f"{PREFIX}/session", json={"username": "admin", "password": plant.password}, headers={"Origin": plant.url})
    assert own.status_code == 200


def test_guessing_passwords_is_slowed_down(fresh: Plant) -> None:
    """D-45: 429 with Retry-After, also for the right password."""
    with fresh.client(token=False) as client:
        for _ in range(5):
            response = client.post("/session", json={"username": "admin", "password": "wrong"})
            assert (response.status_code, response.json()["code"]) == (401, "SIGN_IN_REFUSED")
        response = client.post("/session", json={"username": "admin", "password": fresh.password}, headers={"X-Forwarded-For": "192.0.2.7"})
        assert (response.status_code, response.json()["code"]) == (429, "TOO_MANY_ATTEMPTS")
        assert 0 < int(response.headers["retry-after"]) <= 300


def test_a_new_password_ends_sessions(fresh: Plant) -> None:
    with fresh.client(token=False) as client:
        client.post("/session", json={"username": "admin", "password": fresh.password})
        assert client.get("/session").status_code == 200
        reset_password(fresh.services.site.data_dir)
        assert client.get("/session").status_code == 401


def test_a_change_of_role_counts_at_once(fresh: Plant) -> None:
    password = add_user(fresh.services.door.store, "maria", Role.VIEWER)
    with fresh.client(token=False) as client:
        assert client.post("/session", json={"username": "maria", "password": password}).json()["role"] == "viewer"
        set_role(fresh.services.door.store, "maria", Role.ENGINEER)
        assert client.get("/session").json()["role"] == "engineer"


def test_nothing_secret_leaves_in_logs_or_errors(plant: Plant, anonymous: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    """Passwords, sessions and tokens are in no log line and in no error, whatever is wrong with the request."""
    caplog.set_level(logging.DEBUG)
    secret = "hunter2-hunter2-hunter2"
    answers = [
        login(anonymous, secret),
        login(anonymous, "ok", username=secret),
        anonymous.post(f"{PREFIX}/session", json={"username": 5, "password": [secret]}),
        anonymous.post(f"{PREFIX}/session", content=f'{{"username": "admin", "password": "{secret}"'),
        anonymous.post(f"{PREFIX}/session", json={"username": "admin", "password": secret * 100}),
        anonymous.get(f"{PREFIX}/session", headers={"Authorization": f"Bearer {secret}"}),
        anonymous.get(f"{PREFIX}/session", headers={"Cookie": f"{COOKIE}={secret}"}),
    ]
    assert {answer.status_code for answer in answers} == {401, 422}
    session = login(anonymous, plant.password)
    assert session.status_code == 200
    logged = " ".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records if not record.name.startswith("http"))
    assert "login failed" in logged
    for word in (secret, plant.password, plant.token, anonymous.cookies[COOKIE]):
        assert word not in logged
        assert all(word not in answer.text for answer in answers)


def test_security_headers_are_on_every_answer(anonymous: httpx.Client) -> None:
    for path in (f"{PREFIX}/health", f"{PREFIX}/site", "/", "/no/such/page", "/metrics", f"{PREFIX}/none"):
        headers = anonymous.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "script-src 'self';" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers
    assert anonymous.get(f"{PREFIX}/health").headers["cache-control"] == "no-store"


def test_large_bodies_are_not_read(anonymous: httpx.Client) -> None:
    response = anonymous.post(f"{PREFIX}/session", content=b"x" * 1_000_000)
    assert (response.status_code, response.json()["code"]) == (413, "REQUEST_ENTITY_TOO_LARGE")


def test_metrics_are_for_this_machine(plant: Plant, anonymous: httpx.Client) -> None:
    anonymous.get(f"{PREFIX}/health")
    text = anonymous.get("/metrics").text
    assert 'trunkline_api_requests_total{method="GET",route="/health",status="200"}' in text
    assert "trunkline_api_live_tags" in text
    assert plant.token not in text


async def test_metrics_from_elsewhere_need_a_session(plant: Plant) -> None:
    """The real application, told that the request came from another machine."""
    transport = httpx.ASGITransport(create_app(plant.services), client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/metrics")).status_code == 401
        assert (await client.get("/metrics", headers={"Authorization": f"Bearer {plant.token}"})).status_code == 200


def test_unknown_addresses_and_methods_are_problems(anonymous: httpx.Client) -> None:
    response = anonymous.get(f"{PREFIX}/none")
    assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")
    response = anonymous.put(f"{PREFIX}/health")
    assert response.status_code == 405
    assert response.headers["content-type"] == "application/problem+json"
