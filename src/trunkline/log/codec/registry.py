"""Client of a schema registry: built-in schemas without any, every other id from one with Confluent's REST API, once.

A schema id never changes its meaning, so what was asked once is kept for good. A step that meets an unknown id while the registry is away
gets `RetryLater` and waits; an id that the registry does not know either is the record's fault, and a dead letter.
"""

import base64
import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

import fastavro
import msgspec

from trunkline.log.codec.builtin import BY_ID
from trunkline.log.codec.canonical import canonical_form
from trunkline.log.codec.declarations import Enum, Fixed, InvalidSchema, Named, Record, Schema, parse_with_names
from trunkline.model.errors import CorruptData, Misconfigured, NotConnected, RetryLater

T = TypeVar("T")

CONTENT_TYPE: Final = "application/vnd.schemaregistry.v1+json"

_NOT_FOUND: Final = 404
_TRIES: Final = 3
_FIRST_WAIT: Final = 0.1
#: How long an id that nobody knows is not asked for again: poison must not become a flood of questions.
_UNKNOWN_SECONDS: Final = 30.0
_MAX_ANSWER: Final = 8 << 20
_MAX_REFERENCES: Final = 100


class UnknownSchema(CorruptData):
    """No registry knows the schema id of a record."""


class RegistryRefusal(Misconfigured):
    """The registry answered, and refuses.

    Attributes:
        code: Confluent's error code.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def status(self) -> int:
        """HTTP status: the first three digits of the code."""
        return int(str(self.code)[:3])


class WriterSchema(NamedTuple):
    """The schema that a record was written with.

    Attributes:
        id: schema id.
        name: full name of a named type, '' for others.
        text: JSON; None when it speaks of types that other subjects declare.
        parsed: for fastavro.
    """

    id: int
    name: str
    text: str | None
    parsed: Any


class RegisteredVersion(msgspec.Struct, frozen=True):
    """A version of a subject as the registry tells it."""

    subject: str
    version: int
    id: int
    schema: str


class _Reference(msgspec.Struct, frozen=True):
    name: str
    subject: str
    version: int


class _Answer(msgspec.Struct, frozen=True, rename={"schema_type": "schemaType"}):
    schema: str
    schema_type: str = "AVRO"
    references: tuple[_Reference, ...] = ()


class _Verdict(msgspec.Struct, frozen=True):
    is_compatible: bool
    messages: tuple[str, ...] = ()


class _Id(msgspec.Struct, frozen=True):
    id: int


class _Failure(msgspec.Struct, frozen=True):
    error_code: int
    message: str = ""


class RegistryClient:
    """Asks a registry, and remembers. Thread-safe.

    Args:
        url: base address, `http://host:port` or `https://host:port/path`; empty: only built-in schemas are known.
        username, password: for basic authentication; empty for none.
        ca: PEM file with the authorities of the registry's certificate; None for those of the system.
        timeout: seconds to wait for one answer.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        url: str = "",
        *,
        username: str = "",
        password: str = "",
        ca: Path | None = None,
        timeout: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = urlsplit(url)
        self._timeout = timeout
        self._clock = clock
        self._headers = {"Accept": f"{CONTENT_TYPE}, application/json", "Content-Type": CONTENT_TYPE}
        self._principal = username or "nobody"
        if username:
            self._headers["Authorization"] = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        self._tls = ssl.create_default_context(cafile=ca) if self._url.scheme == "https" else None
        self._lock = threading.Lock()
        self._known: dict[int, WriterSchema] = {}
        self._unknown: dict[int, float] = {}

    def schema(self, schema_id: int) -> WriterSchema:
        """Return the schema of an id.

        Raises:
            UnknownSchema: neither we nor the registry know it, or it is no Avro schema.
            RetryLater: the registry is away.
            Misconfigured: the registry refuses us.
        """
        with self._lock:
            known = self._known.get(schema_id)
            if known is not None:
                return known
            asked = self._unknown.get(schema_id)
        if schema_id in BY_ID:
            found = writer_schema(schema_id, json.dumps(BY_ID[schema_id]))
        elif not self._url.netloc:
            raise UnknownSchema(f"schema id {schema_id} is not built in, and no registry is configured: add 'registry:' to the site file")
        elif asked is not None and self._clock() - asked < _UNKNOWN_SECONDS:
            raise UnknownSchema(f"schema id {schema_id} is unknown to the registry {self._address}")
        else:
            found = self._ask_schema(schema_id)
        with self._lock:
            return self._known.setdefault(schema_id, found)

    def register(self, subject: str, text: str) -> int:
        """Register a schema as the next version of a subject and return its id. Raises RegistryRefusal, RetryLater, Misconfigured."""
        return self._post(f"/subjects/{quote(subject, safe='')}/versions", {"schema": text}, _Id).id

    def incompatibilities(self, subject: str, text: str, version: str = "latest") -> list[str]:
        """Return what keeps a schema from following a version; the registry's own words. Raises as `register`."""
        verdict = self._post(
            f"/compatibility/subjects/{quote(subject, safe='')}/versions/{version}?verbose=true", {"schema": text}, _Verdict
        )
        return [] if verdict.is_compatible else list(verdict.messages) or ["the registry gives no reason"]

    def subjects(self) -> list[str]:
        """Return every subject. Raises as `register`."""
        return self._get("/subjects", list[str])

    def versions(self, subject: str) -> list[int]:
        """Return the numbers of a subject's versions. Raises as `register`."""
        return self._get(f"/subjects/{quote(subject, safe='')}/versions", list[int])

    def version(self, subject: str, version: int | str = "latest") -> RegisteredVersion:
        """Return a version of a subject. Raises as `register`."""
        return self._get(f"/subjects/{quote(subject, safe='')}/versions/{version}", RegisteredVersion)

    def level(self, subject: str) -> str:
        """Return the compatibility level in force for a subject. Raises as `register`."""
        return self._get(f"/config/{quote(subject, safe='')}?defaultToGlobal=true", dict[str, str])["compatibilityLevel"]

    def conflicts(self) -> list[int]:
        """Return built-in ids under which the registry keeps something else: readers could not tell the two apart. Raises as `register`."""
        found = []
        for schema_id, declaration in BY_ID.items():
            try:
                theirs = self._get(f"/schemas/ids/{schema_id}", _Answer)
            except RegistryRefusal as refusal:
                if refusal.status != _NOT_FOUND:
                    raise
                continue
            if theirs.schema_type != "AVRO" or not _same(theirs.schema, declaration):
                found.append(schema_id)
        return found

    # --- schemas

    def _ask_schema(self, schema_id: int) -> WriterSchema:
        try:
            answer = self._get(f"/schemas/ids/{schema_id}", _Answer)
            if answer.schema_type != "AVRO":
                raise UnknownSchema(f"schema id {schema_id} is {answer.schema_type}, not Avro")
            return writer_schema(schema_id, answer.schema, self._referred(answer.references))
        except RegistryRefusal as refusal:
            if refusal.status != _NOT_FOUND:
                raise
            reason = f"schema id {schema_id} is unknown to the registry {self._address}: {refusal}"
        except InvalidSchema as error:
            reason = f"schema id {schema_id} of the registry {self._address} is no valid Avro schema: {error}"
        with self._lock:
            self._unknown[schema_id] = self._clock()
        raise UnknownSchema(reason)

    def _referred(self, references: Sequence[_Reference]) -> list[str]:
        """Return the texts of everything referred to, each after what it needs itself."""
        texts: dict[tuple[str, int], str] = {}

        def add(each: Sequence[_Reference]) -> None:
            for one in each:
                place = (one.subject, one.version)
                if place not in texts and len(texts) < _MAX_REFERENCES:
                    answer = self._get(f"/subjects/{quote(one.subject, safe='')}/versions/{one.version}", _Answer)
                    add(answer.references)
                    texts.setdefault(place, answer.schema)

        add(references)
        return list(texts.values())

    # --- HTTP

    @property
    def _address(self) -> str:
        return f"{self._url.scheme}://{self._url.netloc}"

    def _get(self, path: str, kind: type[T]) -> T:
        return self._asked("GET", path, None, kind)

    def _post(self, path: str, body: Mapping[str, str], kind: type[T]) -> T:
        return self._asked("POST", path, msgspec.json.encode(body), kind)

    def _asked(self, method: str, path: str, body: bytes | None, kind: type[T]) -> T:
        status, answer = self._tried(method, self._url.path.rstrip("/") + path, body)
        if status in {401, 403}:
            raise Misconfigured(
                f"the schema registry {self._address} refuses {self._principal!r} (HTTP {status}): check registry.username and .password"
            )
        if not 200 <= status < 300:
            raise _refusal(status, answer)
        try:
            return msgspec.json.decode(answer, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RetryLater(f"the schema registry {self._address} gives an answer that is none of a registry: {error}") from None

    def _tried(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """Ask up to three times; an overloaded or broken registry is asked again, one that refuses is not."""
        reason = ""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_FIRST_WAIT * 4 ** (attempt - 1))
            try:
                status, answer = self._once(method, path, body)
            except (OSError, http.client.HTTPException) as error:
                reason = str(error) or type(error).__name__
                continue
            if status != 429 and status < 500:
                return status, answer
            reason = f"HTTP {status}: {answer[:200].decode(errors='replace')}"
        raise NotConnected(f"the schema registry {self._address} is away: {reason}")

    def _once(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        host, port = self._url.hostname or "", self._url.port
        connection = (
            http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._tls)
            if self._tls is not None
            else http.client.HTTPConnection(host, port, timeout=self._timeout)
        )
        try:
            connection.request(method, path, body, self._headers)
            response = connection.getresponse()
            answer = response.read(_MAX_ANSWER + 1)
        finally:
            connection.close()
        if len(answer) > _MAX_ANSWER:
            raise http.client.HTTPException(f"an answer of more than {_MAX_ANSWER:,} bytes")
        return response.status, answer


def writer_schema(schema_id: int, text: str, referred: Sequence[str] = ()) -> WriterSchema:
    """Return a schema ready to decode with; `referred` are the texts that it speaks of, each after what it needs. Raises InvalidSchema."""
    names: dict[str, Named] = {}
    documents: dict[str, Any] = {}
    for one in referred:
        _, names = parse_with_names(one, names)
        fastavro.parse_schema(json.loads(one), named_schemas=documents)
    schema, _ = parse_with_names(text, names)
    parsed = fastavro.parse_schema(json.loads(text), named_schemas=documents)
    return WriterSchema(schema_id, _name(schema), None if referred else text, parsed)


def _same(text: str, declaration: Mapping[str, Any]) -> bool:
    try:
        return canonical_form(parse_with_names(text)[0]) == canonical_form(parse_with_names(json.dumps(declaration))[0])
    except InvalidSchema:
        return False


def _name(schema: Schema) -> str:
    return schema.name if isinstance(schema, Record | Enum | Fixed) else ""


def _refusal(status: int, answer: bytes) -> RegistryRefusal:
    try:
        failure = msgspec.json.decode(answer, type=_Failure)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return RegistryRefusal(status, f"HTTP {status}: {answer[:200].decode(errors='replace')}")
    return RegistryRefusal(failure.error_code, failure.message)
