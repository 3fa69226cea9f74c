"""Who may post, when a request counts as stored, what is repeated: with a real client on real sockets."""

import asyncio
import socket
import ssl
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.sources.webhook.config import WebhookConfig
from trunkline.sources.webhook.tests.support import Gateway, certificate, free_port, listening

PATIENCE = 20.0
WRONG = ["", "Bearer", "Bearer the-wrong-token", "Basic the-right-token", "the-right-token", "Bearer the-right-token-x", "Bearer ä"]


def values(gateway: Gateway) -> list[object]:
    return [reading.value for reading in gateway.readings]


async def test_an_answer_means_stored(tmp_path: Path) -> None:
    """W-45: no answer before the readings are on the disk, 200 afterwards, 503 if they cannot be stored."""
    gateway = Gateway(tmp_path)
    async with listening(gateway, stores=False) as client:
        post = asyncio.create_task(client.post("/", json={"n": 1}))
        batch = await asyncio.wait_for(gateway.source.read(), PATIENCE)
        done, _ = await asyncio.wait((post,), timeout=0.2)
        assert not done
        await gateway.keep(batch)
        answer = await post
        assert (answer.status_code, answer.json()) == (200, {"stored": 1, "repeated": False})
        post = asyncio.create_task(client.post("/", json={"n": 2}))
        await (await asyncio.wait_for(gateway.source.read(), PATIENCE)).nack("the disk is full")
        answer = await post
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "the disk is full" in answer.json()["error"]
    assert values(gateway) == [1]


@pytest.mark.parametrize("authorization", WRONG)
async def test_a_wrong_token_is_refused_whatever_is_asked(tmp_path: Path, authorization: str, caplog: pytest.LogCaptureFixture) -> None:
    """P-96: also for addresses and methods that are not there; the token is nowhere shown."""
    gateway = Gateway(tmp_path, token="${secret:right}")
    async with listening(gateway) as client:
        headers = [(b"authorization", authorization.encode("latin-1"))] if authorization else []
        for method, path in (("POST", "/"), ("GET", "/"), ("POST", "/nothing")):
            answer = await client.request(method, path, json={"n": 1}, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        right = await client.post("/", json={"n": 2}, headers={"authorization": "bearer the-right-token"})
        assert right.status_code == 200
    assert values(gateway) == [2]
    assert "the-right-token" not in caplog.text + answer.text


async def test_large_bodies_are_refused(tmp_path: Path) -> None:
    """Announced or not; a body that is not sent to its end is given up."""
    gateway = Gateway(tmp_path, max_body_bytes=1000, timeout=0.3)

    async def pieces() -> Any:
        for _ in range(100):
            yield b" " * 100

    async with listening(gateway) as client:
        headers = {"content-type": "application/json"}
        for content in (b" " * 1001, pieces()):
            answer = await client.post("/", content=content, headers=headers)
            assert answer.status_code == 413
            assert "max_body_bytes" in answer.json()["error"]
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.config.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{")
        assert (await asyncio.wait_for(reader.readline(), PATIENCE)).startswith(b"HTTP/1.1 408")
        writer.close()
        assert (await client.get("/")).status_code == 405
        assert (await client.post("/", json={"n": 1}, headers={"idempotency-key": "k" * 300})).status_code == 400
        assert (await client.post("/", json={"n": 3})).status_code == 200
    assert values(gateway) == [3]


async def test_requests_beyond_the_limit_are_told_to_come_later(tmp_path: Path) -> None:
    """Nothing is stored of those that were told so, nor of those that waited too long."""
    gateway = Gateway(tmp_path, max_waiting=3, timeout=1.0)
    async with listening(gateway, stores=False) as client:
        answers = await asyncio.gather(*(client.post("/", json={"n": number}) for number in range(8)))
        assert sorted(answer.status_code for answer in answers) == [429] * 5 + [503] * 3
        assert {answer.headers["retry-after"] for answer in answers} == {"5"}
        later = asyncio.create_task(client.post("/", json={"n": 9}))
        await gateway.keep(await asyncio.wait_for(gateway.source.read(), PATIENCE))
        assert (await later).status_code == 200
    assert values(gateway) == [9]


async def test_a_repeated_request_is_stored_once(tmp_path: Path) -> None:
    """With an Idempotency-Key: while the first is under way, afterwards, and after a restart; not if the first was not stored."""
    gateway = Gateway(tmp_path)
    key = {"idempotency-key": str(uuid.uuid4())}
    async with listening(gateway, stores=False) as client:
        refused = asyncio.create_task(client.post("/", json={"n": 1}, headers=key))
        await (await asyncio.wait_for(gateway.source.read(), PATIENCE)).nack("the disk is full")
        assert (await refused).status_code == 503
        posts = [asyncio.create_task(client.post("/", json={"n": 1}, headers=key)) for _ in range(3)]
        batch = await asyncio.wait_for(gateway.source.read(), PATIENCE)
        await asyncio.sleep(0.2)
        await gateway.keep(batch)
        answers = [(await post).json() for post in posts]
        assert sorted(answer["stored"] for answer in answers) == [0, 0, 1]
    async with listening(gateway) as client:
        assert (await client.post("/", json={"n": 1}, headers=key)).json() == {"stored": 0, "repeated": True}
        other = await client.post("/", json={"n": 2}, headers=key)
        assert other.status_code == 422
        assert "another body" in other.json()["error"]
        assert (await client.post("/", json={"n": 1}, headers={"idempotency-key": "another"})).json()["stored"] == 1
        assert (await client.post("/", json={"n": 1})).json()["stored"] == 1
    assert values(gateway) == [1, 1, 1]


async def test_keys_are_remembered_up_to_a_number(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, idempotency_keys=3)
    async with listening(gateway) as client:
        for number in (*range(5), 4, 2, 0):
            await client.post("/", json={"n": number}, headers={"idempotency-key": f"k{number}"})
    assert values(gateway) == [0, 1, 2, 3, 4, 0]


async def test_tls_with_certificate_files(tmp_path: Path) -> None:
    """The client checks certificate and name; plain HTTP is not answered."""
    certificate(tmp_path, "of-the-key")
    gateway = Gateway(tmp_path, tls={"cert_file": "server.pem", "key_file": "server.key", "key_password": "${secret:key}"})
    context = ssl.create_default_context(cafile=str(tmp_path / "server.pem"))
    async with listening(gateway, verify=context) as client:
        assert (await client.post("/", json={"n": 1})).status_code == 200
        async with httpx.AsyncClient() as plain:
            with pytest.raises(httpx.HTTPError):
                await plain.post(f"http://127.0.0.1:{gateway.config.port}/", json={"n": 2})
    assert values(gateway) == [1]


async def test_a_port_in_use_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        gateway = Gateway(tmp_path, port=other.getsockname()[1])
        with pytest.raises(SourceUnavailable, match="address already in use: end what listens there, or mend 'host' and 'port'"):
            await gateway.source.connect()
    await gateway.source.connect()
    await gateway.source.close()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"token": "${secret:empty}"}, r"secret \$\{secret:empty\} is empty"),
        ({"token": "${secret:missing}"}, r"secret \$\{secret:missing\} cannot be resolved"),
        ({"tls": {"cert_file": "none.pem", "key_file": "none.key"}}, "cert_file 'none.pem'"),
        ({"tls": {"cert_file": "server.pem", "key_file": "server.key"}}, "cert_file 'server.pem'"),
    ],
)
async def test_what_only_a_human_can_mend_is_misconfigured(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    certificate(tmp_path, "of-the-key")
    with pytest.raises(SourceMisconfigured, match=says):
        await Gateway(tmp_path, **options).source.connect()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.5", "gateway.example"])
def test_beyond_loopback_a_token_and_encryption_are_needed(host: str) -> None:
    """P-96."""
    section = {"id": "hooks", "host": host, "port": 8087}
    with pytest.raises(ValidationError, match="give a 'token', or listen on 127"):
        WebhookConfig.model_validate(section)
    section["token"] = "${secret:right}"
    with pytest.raises(ValidationError, match="give 'tls'"):
        WebhookConfig.model_validate(section)
    WebhookConfig.model_validate({**section, "allow_token_without_tls": True})
    WebhookConfig.model_validate({**section, "tls": {"cert_file": "a", "key_file": "b"}})


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"token": "plain-text"}, "String should match pattern"),
        ({"tags": [{"path": "P.A", "endpoint": "boiler"}]}, "String should match pattern"),
        ({"tags": [{"path": "P.A", "name": "x"}]}, "needs 'tag_name'"),
        ({"tag_name": "$.t", "tags": [{"path": "P.A", "name": "x"}, {"path": "P.B", "name": "x"}]}, "same name 'x'"),
        ({"tags": [{"path": "P.A", "value": "value"}]}, "not a JSONPath"),
    ],
)
def test_wrong_options_name_the_mend(section: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        WebhookConfig.model_validate({"id": "hooks", "port": free_port(), **section})
