"""Parsing Canonical Form and fingerprints, against the specification's values and an independent implementation."""

import json
from pathlib import Path

import fastavro.schema
import pytest

from trunkline.log.codec.canonical import canonical_form, fingerprint, rabin, sha256
from trunkline.log.codec.declarations import parse
from trunkline.log.codec.schemas import BY_ID

CASES = sorted((Path(__file__).parent / "compatibility").glob("*/*.avsc"))

#: From Apache Avro's own test data (share/test/data/schema-tests.txt): schema, canonical form, 64-bit fingerprint as a signed number.
VECTORS = [
    ('"null"', '"null"', 7195948357588979594),
    ('{"type":"null"}', '"null"', 7195948357588979594),
    ('"boolean"', '"boolean"', -6970731678124411036),
    ('"int"', '"int"', 8247732601305521295),
    ('"long"', '"long"', -3434872931120570953),
    ('"float"', '"float"', 5583340709985441680),
    ('"double"', '"double"', -8181574048448539266),
    ('"bytes"', '"bytes"', 5746618253357095269),
    ('"string"', '"string"', -8142146995180207161),
    ("[  ]", "[]", -1241056759729112623),
    ('[ "int"  ]', '["int"]', -5232228896498058493),
    ('[ "int" , {"type":"boolean"} ]', '["int","boolean"]', 5392556393470105090),
    ('{"fields":[], "type":"record", "name":"foo"}', '{"name":"foo","type":"record","fields":[]}', -4824392279771201922),
    (
        '{"fields":[], "type":"record", "name":"foo", "namespace":"x.y"}',
        '{"name":"x.y.foo","type":"record","fields":[]}',
        5916914534497305771,
    ),
    (
        '{"fields":[], "type":"record", "name":"a.b.foo", "namespace":"x.y"}',
        '{"name":"a.b.foo","type":"record","fields":[]}',
        -4616218487480524110,
    ),
    (
        '{"type":"enum", "name":"foo", "symbols":["A1"]}',
        '{"name":"foo","type":"enum","symbols":["A1"]}',
        -6342190197741309591,
    ),
    (
        '{"name":"foo","type":"fixed","size":15}',
        '{"name":"foo","type":"fixed","size":15}',
        1756455273707447556,
    ),
    ('{ "items":{"type":"null"}, "type":"array"}', '{"type":"array","items":"null"}', -589620603366471059),
    ('{ "values":"string", "type":"map"}', '{"type":"map","values":"string"}', -8732877298790414990),
]


@pytest.mark.parametrize(("text", "form", "number"), VECTORS)
def test_vectors_of_the_specification(text: str, form: str, number: int) -> None:
    schema = parse(text)
    assert canonical_form(schema) == form
    assert fingerprint(schema) == number % 2**64
    assert rabin(form.encode()) == number % 2**64


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.stem}")
def test_agrees_with_another_implementation(case: Path) -> None:
    text = case.read_text()
    ours = parse(text)
    theirs = fastavro.schema.to_parsing_canonical_form(json.loads(text))
    assert json.loads(canonical_form(ours)) == json.loads(theirs)
    if canonical_form(ours) == theirs:
        little_endian = bytes.fromhex(fastavro.schema.fingerprint(theirs, "CRC-64-AVRO"))
        assert fingerprint(ours) == int.from_bytes(little_endian, "little")
        assert sha256(ours) == fastavro.schema.fingerprint(theirs, "SHA-256")


def test_what_does_not_change_the_bytes_does_not_change_the_form() -> None:
    plain = '{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}'
    dressed = (
        '{"doc":"x","fields":[{"doc":"y","default":1,"aliases":["b"],"type":{"type":"int"},"name":"a"}],'
        '"name":"R","type":"record","aliases":["S"]}'
    )
    assert canonical_form(parse(plain)) == canonical_form(parse(dressed))


def test_built_in_schemas_are_valid_and_apart() -> None:
    prints = {sha256(parse(json.dumps(schema))) for schema in BY_ID.values()}
    assert len(prints) == len(BY_ID)
