"""Our client: offline from the built-in ids, everything else asked once; clear errors (W-95, D-12, D-13)."""

import json
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from subprocess import run

import pytest
from tests.registry.support import Running, record

from trunkline.log.codec.builtin import BY_ID, SUBJECTS, Subject
from trunkline.log.codec.compatibility import judge
from trunkline.log.codec.declarations import Record, parse, parse_document
from trunkline.log.codec.registry import RegistryClient, RegistryRefusal, UnknownSchema
from trunkline.model.errors import CorruptData, Misconfigured, NotConnected, RetryLater


class _Moody(BaseHTTPRequestHandler):
    """Answers as its server's `answers` say, in turn; the last one for ever."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Moody)
        server.asked[self.path] += 1
        status, body = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Moody(ThreadingHTTPServer):
    """A registry with moods."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Moody)
        self.answers: list[tuple[int, bytes]] = [(200, json.dumps({"schema": '"long"'}).encode())]
        self.asked: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def moody() -> Iterator[Moody]:
    server = Moody()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_built_in_ids_need_no_registry() -> None:
    """D-12: an offline gateway can always write and every site can always read."""
    client = RegistryClient()
    for schema_id, declaration in BY_ID.items():
        known = client.schema(schema_id)
        assert known.name == f"{declaration.get('namespace', '')}.{declaration['name']}".lstrip(".")
    assert RegistryClient("http://127.0.0.1:9").schema(1).name == "io.trunkline.ReadingBlock"


def test_what_was_asked_once_is_kept(moody: Moody) -> None:
    client = RegistryClient(moody.url)
    with ThreadPoolExecutor(8) as threads:
        known = set(threads.map(lambda _: id(client.schema(4711)), range(32)))
    assert len(known) == 1
    before = moody.asked["/schemas/ids/4711"]
    client.schema(4711)
    assert moody.asked["/schemas/ids/4711"] == before


def test_a_registry_that_is_unwell_is_asked_again(moody: Moody) -> None:
    moody.answers = [(503, b"overloaded"), (429, b"slowly"), *moody.answers]
    assert RegistryClient(moody.url).schema(4711).parsed is not None
    assert moody.asked["/schemas/ids/4711"] == 3


@pytest.mark.parametrize("answer", [(500, b"broken"), (200, b"<html>"), (200, b"{}")])
def test_a_registry_that_stays_unwell_is_waited_for(moody: Moody, answer: tuple[int, bytes]) -> None:
    moody.answers = [answer]
    with pytest.raises(RetryLater, match=f"registry {moody.url}"):
        RegistryClient(moody.url).schema(4711)


def test_a_registry_that_is_away_is_waited_for() -> None:
    with pytest.raises(NotConnected, match="is away"):
        RegistryClient("http://127.0.0.1:9", timeout=2).schema(4711)


@pytest.mark.parametrize(
    "answer",
    [
        (404, b'{"error_code":40403,"message":"Schema not found"}'),
        (200, b'{"schema":"{\\"type\\":\\"nothing\\"}"}'),
        (200, b'{"schema":"syntax = proto3","schemaType":"PROTOBUF"}'),
    ],
)
def test_an_id_that_means_nothing_is_the_records_fault(moody: Moody, answer: tuple[int, bytes]) -> None:
    moody.answers = [answer]
    with pytest.raises(UnknownSchema, match="schema id 4711") as unknown:
        RegistryClient(moody.url).schema(4711)
    assert isinstance(unknown.value, CorruptData), "a dead letter, not a reason to wait"


def test_an_unknown_id_is_not_asked_for_again_and_again(moody: Moody) -> None:
    """Poison must not become a flood of questions; after a while the id may be known."""
    moody.answers = [(404, b'{"error_code":40403,"message":"Schema not found"}')]
    now = [0.0]
    client = RegistryClient(moody.url, clock=lambda: now[0])
    for _ in range(5):
        with pytest.raises(UnknownSchema):
            client.schema(4711)
    assert moody.asked["/schemas/ids/4711"] == 1
    moody.answers, now[0] = [(200, b'{"schema":"\\"long\\""}')], 31.0
    assert client.schema(4711).id == 4711


def test_against_our_own_registry(on_sqlite: Running) -> None:
    client = RegistryClient(on_sqlite.url)
    v1, v2, bad = record(("a", "int")), record(("a", "int"), ("q", "string", "")), record(("u", "string"))
    made = client.register("flow value", v1)
    assert client.schema(made).text == v1
    assert client.register("flow value", v2) == made + 1
    assert client.versions("flow value") == [1, 2]
    assert client.version("flow value").id == made + 1
    assert client.level("flow value") == "FULL_TRANSITIVE"
    assert client.incompatibilities("flow value", v2) == []
    assert "Reading.u" in client.incompatibilities("flow value", bad)[0]
    with pytest.raises(RegistryRefusal) as refused:
        client.register("flow value", bad)
    assert refused.value.code == 409
    assert isinstance(refused.value, Misconfigured)


def test_a_registry_that_gives_away_our_ids_is_noticed(moody: Moody, on_sqlite: Running) -> None:
    """Other registries count from 1: bytes under such an id would be taken for ours."""
    assert RegistryClient(on_sqlite.url).conflicts() == []
    assert RegistryClient(moody.url).conflicts() == list(BY_ID)
    moody.answers = [(404, b'{"error_code":40403,"message":"Schema not found"}')]
    assert RegistryClient(moody.url).conflicts() == []


def test_the_client_needs_no_web_server() -> None:
    """Workers load it: it must not bring a web framework or an HTTP library along."""
    code = "import sys, trunkline.registry.client; print([m for m in ('fastapi', 'uvicorn', 'starlette', 'httpx') if m in sys.modules])"
    assert run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_built_in_versions_follow_each_other(subject: Subject) -> None:
    """D-12, ED-5: every version of ours keeps to the level of its subject; ids are below 1,000 and given once."""
    schemas = [(number, parse_document(declaration)[0]) for number, (_, declaration) in enumerate(subject.versions, 1)]
    for number, schema in schemas:
        assert isinstance(schema, Record)
        assert schema.name == subject.name
        assert judge(schema, schemas[: number - 1], subject.level) == []
    assert all(schema_id < 1000 for schema_id, _ in subject.versions)
    assert len(BY_ID) == sum(len(one.versions) for one in SUBJECTS)


def test_names_that_the_requirements_fix() -> None:
    """W-94, E-40 to E-45, E-76: names of records and fields are other people's contract."""
    names = {subject.name for subject in SUBJECTS}
    assert {"TelemetryReading", "com.scadaerp.scada.TelemetryRaw", "com.scadaerp.scada.Alarm"} <= names
    raw = parse(json.dumps(BY_ID[200]))
    assert isinstance(raw, Record)
    assert [one.name for one in raw.fields] == ["timestamp", "deviceId", "tagId", "value", "quality", "sourceProtocol"]
    reading = parse(json.dumps(BY_ID[101]))
    assert isinstance(reading, Record)
    assert [one.name for one in reading.fields] == ["asset_id", "parameter", "value", "unit", "quality"]
    event = parse(json.dumps(BY_ID[230]))
    assert isinstance(event, Record)
    envelope = ["eventId", "occurredAt", "recordedAt", "tenantId", "wellId", "actor", "correlationId", "schemaVersion"]
    assert [one.name for one in event.fields][:8] == envelope
