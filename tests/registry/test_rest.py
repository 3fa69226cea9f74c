"""The REST API as Confluent documents it: paths, codes, content type (W-92, W-93, D-12)."""

import json
from typing import Any

import httpx
import pytest
from tests.registry.support import Running, record

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"


class Client:
    """Sends and checks what every answer has in common."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, headers={"Content-Type": CONTENT_TYPE})

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        answer = self.http.request(method, path, content=None if body is None else json.dumps(body))
        assert answer.headers["content-type"] == CONTENT_TYPE
        return answer.status_code, answer.json()

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        status, answer = self.ask(method, path, body)
        assert status == 200, answer
        return answer

    def refused(self, method: str, path: str, body: Any = None) -> int:
        status, answer = self.ask(method, path, body)
        assert set(answer) == {"error_code", "message"}
        assert int(str(answer["error_code"])[:3]) == status
        return int(answer["error_code"])


V1 = record(("a", "int"))
V2 = record(("a", "int"), ("q", "string", "UNKNOWN"))
BAD = record(("a", "int"), ("u", "string"))


@pytest.fixture
def client(running: Running) -> Client:
    return Client(running.url)


def put(client: Client, subject: str, schema: str) -> int:
    return int(client.ok("POST", f"/subjects/{subject}/versions", {"schema": schema})["id"])


def test_register_and_read_back(client: Client) -> None:
    first = put(client, "flow-value", V1)
    second = put(client, "flow-value", V2)
    assert 1000 <= first < second
    assert put(client, "flow-value", V1) == first, "the same schema keeps its id"
    assert put(client, "other-value", V1) == first, "in another subject, too"
    assert client.ok("GET", "/subjects/flow-value/versions") == [1, 2]
    assert client.ok("GET", f"/schemas/ids/{first}") == {"schema": V1, "schemaType": "AVRO"}
    assert client.ok("GET", f"/schemas/ids/{first}/schema") == json.loads(V1)
    assert client.ok("GET", f"/schemas/ids/{first}/subjects") == ["flow-value", "other-value"]
    assert client.ok("GET", f"/schemas/ids/{second}/versions") == [{"subject": "flow-value", "version": 2}]
    whole = {"subject": "flow-value", "version": 2, "id": second, "schema": V2, "schemaType": "AVRO"}
    for version in ("2", "latest", "-1"):
        assert client.ok("GET", f"/subjects/flow-value/versions/{version}") == whole
    assert client.ok("GET", "/subjects/flow-value/versions/1/schema") == json.loads(V1)
    assert client.ok("POST", "/subjects/flow-value", {"schema": V2}) == whole
    assert client.ok("GET", "/subjects?subjectPrefix=flow") == ["flow-value"]
    assert client.ok("GET", "/schemas/types") == ["AVRO"]
    latest = client.ok("GET", "/schemas?subjectPrefix=flow&latestOnly=true")
    assert [one["version"] for one in latest] == [2]
    assert client.ok("GET", "/") == {}


def test_spaces_and_order_of_keys_do_not_make_another_schema(client: Client) -> None:
    document = json.loads(V1)
    shuffled = json.dumps({key: document[key] for key in reversed(document)}, indent=4)
    assert put(client, "flow-value", V1) == put(client, "flow-value", shuffled)
    assert client.ok("GET", "/subjects/flow-value/versions") == [1]


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "/subjects/none/versions", None, 40401),
        ("GET", "/subjects/none/versions/1", None, 40401),
        ("GET", "/subjects/there/versions/7", None, 40402),
        ("GET", "/subjects/there/versions/x", None, 42202),
        ("GET", "/subjects/there/versions/0", None, 42202),
        ("GET", "/schemas/ids/999999", None, 40403),
        ("GET", "/schemas/ids/x", None, 422),
        ("POST", "/subjects/none", {"schema": V1}, 40401),
        ("POST", "/subjects/there", {"schema": V2}, 40403),
        ("POST", "/subjects/there/versions", {"schema": '{"type":"nothing"}'}, 42201),
        ("POST", "/subjects/there/versions", {"schema": "{"}, 42201),
        ("POST", "/subjects/there/versions", {}, 42201),
        ("POST", "/subjects/there/versions", {"schema": "{}", "schemaType": "PROTOBUF"}, 42201),
        ("POST", "/subjects/there/versions", {"schema": BAD}, 409),
        ("POST", "/subjects/there/versions", {"schema": V2, "id": 5}, 42205),
        ("POST", "/compatibility/subjects/none/versions/latest", {"schema": V1}, 40401),
        ("POST", "/compatibility/subjects/there/versions/9", {"schema": V1}, 40402),
        ("PUT", "/config", {"compatibility": "SOME"}, 42203),
        ("PUT", "/config", {"level": "FULL"}, 42203),
        ("PUT", "/mode", {"mode": "WRITE"}, 42204),
        ("GET", "/config/there", None, 40408),
        ("GET", "/mode/there", None, 40409),
        ("DELETE", "/subjects/none", None, 40401),
        ("DELETE", "/subjects/there?permanent=true", None, 40405),
        ("DELETE", "/subjects/there/versions/1?permanent=true", None, 40407),
        ("DELETE", "/subjects/there/versions/2", None, 40402),
        ("POST", "/subjects/io.trunkline.Reading/versions", {"schema": V1}, 42205),
        ("DELETE", "/subjects/io.trunkline.Reading", None, 42205),
        ("GET", "/nothing", None, 404),
        ("PATCH", "/subjects", None, 405),
    ],
)
def test_refusals(on_sqlite: Running, method: str, path: str, body: Any, code: int) -> None:
    client = Client(on_sqlite.url)
    put(client, "there", V1)
    assert client.refused(method, path, body) == code


def test_an_incompatible_schema_is_refused_with_the_place_and_the_mend(client: Client) -> None:
    """W-93: required fields may not be added under FULL_TRANSITIVE, and the answer says which field and what to do."""
    put(client, "there", V1)
    status, answer = client.ask("POST", "/subjects/there/versions", {"schema": BAD})
    assert (status, answer["error_code"]) == (409, 409)
    assert "Reading.u: the field is not written and has no default" in answer["message"]
    assert "Give the field 'u' a default." in answer["message"]
    verdict = client.ok("POST", "/compatibility/subjects/there/versions/latest?verbose=true", {"schema": BAD})
    assert verdict["is_compatible"] is False
    assert len(verdict["messages"]) == 1
    assert client.ok("POST", "/compatibility/subjects/there/versions/1", {"schema": V2}) == {"is_compatible": True}
    assert client.ok("POST", "/compatibility/subjects/there/versions", {"schema": V2}) == {"is_compatible": True}
    assert client.ok("POST", "/compatibility/subjects/none/versions", {"schema": V2}) == {"is_compatible": True}


def test_levels(client: Client) -> None:
    """D-12: FULL_TRANSITIVE unless another level is set, for all subjects or for one."""
    assert client.ok("GET", "/config") == {"compatibilityLevel": "FULL_TRANSITIVE"}
    assert client.ok("GET", "/config/there?defaultToGlobal=true") == {"compatibilityLevel": "FULL_TRANSITIVE"}
    assert client.ok("PUT", "/config", {"compatibility": "BACKWARD"}) == {"compatibility": "BACKWARD"}
    assert client.ok("PUT", "/config/there", {"compatibility": "NONE"}) == {"compatibility": "NONE"}
    put(client, "there", V1)
    put(client, "there", BAD)
    put(client, "elsewhere", V1)
    assert client.refused("POST", "/subjects/elsewhere/versions", {"schema": BAD}) == 409
    assert client.ok("DELETE", "/config/there") == {"compatibilityLevel": "NONE"}
    assert client.refused("GET", "/config/there") == 40408
    assert client.ok("DELETE", "/config") == {"compatibilityLevel": "BACKWARD"}
    assert client.ok("GET", "/config") == {"compatibilityLevel": "FULL_TRANSITIVE"}


def test_soft_and_permanent_deletion(client: Client) -> None:
    first, second = put(client, "there", V1), put(client, "there", V2)
    assert client.ok("DELETE", "/subjects/there/versions/latest") == 2
    assert client.refused("DELETE", "/subjects/there/versions/2") == 40406
    assert client.ok("GET", "/subjects/there/versions") == [1]
    assert client.ok("GET", "/subjects/there/versions?deleted=true") == [1, 2]
    assert client.ok("GET", "/subjects/there/versions?deletedOnly=true") == [2]
    assert client.ok("GET", f"/schemas/ids/{second}")["schema"] == V2, "what is hidden can still be read by id"
    assert put(client, "there", V2) == second, "and comes back under its id"
    assert client.ok("GET", "/subjects/there/versions") == [1, 3]
    assert client.ok("DELETE", "/subjects/there") == [1, 3]
    assert client.refused("DELETE", "/subjects/there") == 40404
    assert "there" not in client.ok("GET", "/subjects")
    assert client.ok("GET", "/subjects?deletedOnly=true") == ["there"]
    assert client.ok("DELETE", "/subjects/there?permanent=true") == [1, 2, 3]
    assert client.refused("GET", f"/schemas/ids/{first}") == 40403
    assert put(client, "there", V1) == first, "an id is never given to another schema"
    assert client.ok("GET", "/subjects/there/versions") == [1]
    assert client.ok("DELETE", "/subjects/there/versions/1") == 1
    assert client.ok("DELETE", "/subjects/there/versions/1?permanent=true") == 1


def test_read_only_subjects_and_import(client: Client) -> None:
    put(client, "there", V1)
    assert client.ok("PUT", "/mode/there", {"mode": "READONLY"}) == {"mode": "READONLY"}
    assert put(client, "there", V1) >= 1000, "what is there may be registered again"
    assert client.refused("POST", "/subjects/there/versions", {"schema": V2}) == 42205
    assert client.refused("DELETE", "/subjects/there") == 42205
    assert client.ok("DELETE", "/mode/there") == {"mode": "READONLY"}
    assert client.refused("PUT", "/mode/there", {"mode": "IMPORT"}) == 42205
    assert client.ok("PUT", "/mode/moved", {"mode": "IMPORT"}) == {"mode": "IMPORT"}
    assert client.ok("POST", "/subjects/moved/versions", {"schema": V2, "id": 5000, "version": 7}) == {"id": 5000}
    assert client.refused("POST", "/subjects/moved/versions", {"schema": BAD, "id": 5000, "version": 8}) == 42205
    assert client.refused("POST", "/subjects/moved/versions", {"schema": BAD}) == 42205
    assert client.ok("GET", "/subjects/moved/versions") == [7]
    assert client.ok("DELETE", "/mode/moved") == {"mode": "IMPORT"}
    assert put(client, "later", BAD) == 5001


def test_references(client: Client) -> None:
    """A type declared in another subject is used, and cannot be deleted from under those who use it."""
    point = '{"type":"record","name":"Point","namespace":"plant","fields":[{"name":"x","type":"double"}]}'
    path = '{"type":"record","name":"Path","namespace":"plant","fields":[{"name":"at","type":"plant.Point"}]}'
    put(client, "point", point)
    assert client.refused("POST", "/subjects/path/versions", {"schema": path}) == 42201
    reference = {"name": "plant.Point", "subject": "point", "version": 1}
    made = client.ok("POST", "/subjects/path/versions", {"schema": path, "references": [reference]})["id"]
    assert client.ok("GET", f"/schemas/ids/{made}")["references"] == [reference]
    assert client.ok("GET", "/subjects/point/versions/1/referencedby") == [made]
    assert client.refused("DELETE", "/subjects/point") == 42206
    wrong = {"schema": path, "references": [{**reference, "version": 2}]}
    assert client.refused("POST", "/subjects/path/versions", wrong) == 42201
    client.ok("DELETE", "/subjects/path")
    assert client.ok("DELETE", "/subjects/point") == [1]


def test_pages_and_limits(on_sqlite: Running) -> None:
    client = Client(on_sqlite.url)
    for number in range(5):
        put(client, f"s{number}", V1)
    assert client.ok("GET", "/subjects?subjectPrefix=s&offset=1&limit=2") == ["s1", "s2"]
    assert client.refused("POST", "/subjects/s/versions", {"schema": "x" * (1 << 20)}) == 413
    assert client.refused("POST", "/subjects/" + "s" * 256 + "/versions", {"schema": V1}) == 42208
    assert client.refused("GET", "/subjects?deleted=perhaps") == 422
