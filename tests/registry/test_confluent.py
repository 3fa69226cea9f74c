"""Independent clients: the vendor's own registry client and serializers against our server (W-92, W-94, W-95, D-13)."""

import json

import pytest
from confluent_kafka.schema_registry import Schema as TheirSchema
from confluent_kafka.schema_registry import SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.serialization import MessageField, SerializationContext
from tests.registry.support import Running, record

from trunkline.log.codec.builtin import SUBJECTS
from trunkline.log.codec.builtin.gateway import TELEMETRY_READING_IDS
from trunkline.log.codec.records import decode_records
from trunkline.log.codec.registry import RegistryClient
from trunkline.log.codec.schemas import schema_id_of
from trunkline.log.port import StoredRecord

WRITTEN = SerializationContext("flow", MessageField.VALUE)
V1 = record(("asset_id", "string"), ("value", "double"), name="Flow")
V2 = record(("asset_id", "string"), ("value", "double"), ("quality", "string", "UNKNOWN"), name="Flow")


@pytest.fixture
def client(running: Running) -> SchemaRegistryClient:
    return SchemaRegistryClient({"url": running.url})


def test_serializers_of_two_versions_are_read_by_either(client: SchemaRegistryClient) -> None:
    """W-95: old bytes under the old id, new bytes under the new one, read by readers of both versions."""
    old = AvroSerializer(client, V1)({"asset_id": "well_12", "value": 185.4}, WRITTEN)
    new = AvroSerializer(client, V2)({"asset_id": "well_12", "value": 186.0, "quality": "GOOD"}, WRITTEN)
    assert old is not None
    assert new is not None
    assert old[:5] != new[:5]
    newer, older = AvroDeserializer(client, V2), AvroDeserializer(client, V1)
    assert newer(old, WRITTEN) == {"asset_id": "well_12", "value": 185.4, "quality": "UNKNOWN"}
    assert newer(new, WRITTEN) == {"asset_id": "well_12", "value": 186.0, "quality": "GOOD"}
    assert older(new, WRITTEN) == {"asset_id": "well_12", "value": 186.0}
    assert client.get_versions("flow-value") == [1, 2]


def test_the_client_knows_our_errors(client: SchemaRegistryClient) -> None:
    AvroSerializer(client, V1)({"asset_id": "a", "value": 1.0}, WRITTEN)
    broken = TheirSchema(record(("asset_id", "string"), ("unit", "string"), name="Flow"), "AVRO")
    with pytest.raises(SchemaRegistryError) as refused:
        client.register_schema("flow-value", broken)
    assert (refused.value.http_status_code, refused.value.error_code) == (409, 409)
    assert client.test_compatibility("flow-value", broken) is False
    assert client.test_compatibility("flow-value", TheirSchema(V2, "AVRO")) is True
    with pytest.raises(SchemaRegistryError) as missing:
        client.get_latest_version("none")
    assert missing.value.error_code == 40401
    with pytest.raises(SchemaRegistryError) as unknown:
        client.get_schema(999_999)
    assert unknown.value.error_code == 40403


def test_everyday_calls(client: SchemaRegistryClient) -> None:
    first = client.register_schema("flow-value", TheirSchema(V1, "AVRO"))
    again = client.register_schema("flow-value", TheirSchema(V1, "AVRO"), normalize_schemas=True)
    assert first == again
    assert client.lookup_schema("flow-value", TheirSchema(V1, "AVRO")).schema_id == first
    assert client.get_version("flow-value", 1).version == 1
    assert client.get_schema(first).schema_str == V1
    assert client.set_compatibility("flow-value", "BACKWARD") is not None
    assert client.get_compatibility("flow-value") == "BACKWARD"
    assert client.get_compatibility() == "FULL_TRANSITIVE"
    assert "flow-value" in client.get_subjects()
    assert client.get_subjects_by_schema_id(first) == ["flow-value"]
    assert client.get_schema_types() == ["AVRO"]
    assert client.get_global_mode() == "READWRITE"
    assert client.delete_version("flow-value", 1) == 1
    assert client.delete_subject("flow-value", permanent=True) == [1]


def test_references(client: SchemaRegistryClient) -> None:
    point = json.dumps({"type": "record", "name": "Point", "namespace": "plant", "fields": [{"name": "x", "type": "double"}]})
    line = json.dumps({"type": "record", "name": "Line", "namespace": "plant", "fields": [{"name": "from", "type": "plant.Point"}]})
    client.register_schema("point", TheirSchema(point, "AVRO"))
    schema = TheirSchema(line, "AVRO", [SchemaReference("plant.Point", "point", 1)])
    written = AvroSerializer(client, schema)({"from": {"x": 1.5}}, WRITTEN)
    assert written is not None
    assert AvroDeserializer(client, schema)(written, WRITTEN) == {"from": {"x": 1.5}}


def test_built_in_schemas_are_there_under_their_ids(client: SchemaRegistryClient) -> None:
    """D-12, D-13, W-94: one id space for edge and centre."""
    for subject in SUBJECTS:
        assert client.get_versions(subject.name) == list(range(1, len(subject.versions) + 1))
        for number, (schema_id, declaration) in enumerate(subject.versions, 1):
            registered = client.get_version(subject.name, number)
            assert registered.schema_id == schema_id
            assert json.loads(client.get_schema(schema_id).schema_str or "") == declaration
        assert client.get_compatibility(subject.name) == subject.level
    assert client.get_latest_version("TelemetryReading").schema_id == TELEMETRY_READING_IDS[-1]


def test_readings_of_two_versions_written_by_their_serializer_reach_our_columns(running: Running, client: SchemaRegistryClient) -> None:
    """W-94, W-95: an old gateway's buffer and new data, on one topic, under ids that only the registry knows."""
    fields = [("asset_id", "string"), ("parameter", "string"), ("value", "double"), ("unit", "string")]
    older = record(*fields, name="TelemetryReading")
    newer = record(*fields, ("quality", "string", "UNKNOWN"), ("site", "string", ""), name="TelemetryReading")
    where = SerializationContext("telemetry.raw", MessageField.VALUE)
    write_old, write_new = AvroSerializer(client, older), AvroSerializer(client, newer)
    reading = {"asset_id": "offshore_well_12", "parameter": "pressure", "unit": "psi"}
    values = [
        write_old({**reading, "value": 185.4}, where),
        write_new({**reading, "value": 186.0, "quality": "GOOD", "site": "north"}, where),
        write_old({**reading, "value": 187.0}, where),
    ]
    records = [StoredRecord("telemetry.raw", 0, place, 1_700_000_000_000_000, None, value or b"", ()) for place, value in enumerate(values)]
    ids = [schema_id_of(one.value) for one in records]
    assert ids[0] == ids[2] != ids[1]
    assert min(ids) >= 1000
    columns, broken = decode_records(records, RegistryClient(running.url), {})
    assert broken == []
    assert [columns.value(place) for place in range(3)] == [185.4, 186.0, 187.0]
    assert columns.tags == ["OFFSHORE_WELL_12.PRESSURE"]
    assert [(head.lo, head.hi) for head in columns.heads] == [(0, 3)]
