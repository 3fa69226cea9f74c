"""Bodies of requests to readings. What makes no sense is refused as a whole, with place and mend: the sender is there to hear it."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from trunkline.model import quality
from trunkline.model.quality import Quality, Severity
from trunkline.model.reading import Reading
from trunkline.sources.decoding import Undecodable, checked_value, parse_json, parse_time, told_quality
from trunkline.sources.jsonpath import compile_path
from trunkline.sources.samples import Sample, SampleFinder
from trunkline.sources.webhook.config import WebhookConfig, WebhookTagConfig

_LINES: Final = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})


class Refusal(Exception):
    """An answer other than 200.

    Attributes:
        status: of HTTP (RFC 9110, 15).
        headers: that the status needs.
    """

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class PostDecoder:
    """Decodes what is posted to one source."""

    def __init__(self, config: WebhookConfig) -> None:
        """Compile the paths of every tag."""
        self._max_text_bytes = config.max_body_bytes
        self._name = compile_path(config.tag_name) if config.tag_name else None
        self._tags: dict[str, dict[str, tuple[WebhookTagConfig, SampleFinder]]] = {}
        for tag in config.tags:
            named = self._tags.setdefault(tag.endpoint, {})
            named[(tag.name or tag.path) if self._name else tag.path] = (tag, SampleFinder(tag.value, tag.timestamp, tag.quality))

    def check(self, endpoint: str, content_type: str) -> None:
        """Raise Refusal if nothing can be posted there, or not like this."""
        if endpoint not in self._tags:
            raise Refusal(404, f"no tag has the endpoint {endpoint[:256]!r}: post to {', '.join(sorted(self._tags)[:20])}")
        if not _is_json(content_type):
            # a page in a browser on this machine cannot send these types without asking first
            raise Refusal(415, f"content type {content_type[:80]!r}: send 'application/json', or 'application/x-ndjson' for lines of JSON")

    def decode(self, endpoint: str, content_type: str, body: bytes, now: Callable[[], int]) -> list[Reading]:
        """Return the readings of a body: one document, a list of them, or lines of them. Raises Refusal."""
        try:
            readings: list[Reading] = []
            for place, document in _documents(content_type, body):
                readings += self._one(endpoint, place, document, now())
        except Undecodable as error:
            raise Refusal(400, str(error)) from error
        if not readings:
            raise Refusal(422, "no document at all: post an object, or a list of objects")
        return readings

    def _one(self, endpoint: str, place: str, document: Any, now: int) -> Iterator[Reading]:  # noqa: ANN401 - any JSON document
        tags = self._tags[endpoint]
        if self._name is not None:
            names = self._name(document)
            if not names or str(names[0]) not in tags:
                said = f"names the tag {str(names[0])[:80]!r}" if names else "names no tag"
                raise Refusal(422, f"{place} {said}: known here are {', '.join(sorted(tags)[:20])}")
            tags = {str(names[0]): tags[str(names[0])]}
        found = False
        for tag, finder in tags.values():
            try:
                samples = finder.find(document)
                yield from (self._reading(tag, sample, now) for sample in samples)
            except Undecodable as error:
                raise Refusal(422, f"{place}, tag {tag.path}: {error}") from error
            found = found or bool(samples)
        if not found:
            wanted = ", ".join(sorted({tag.value for tag, _ in tags.values()})[:20])
            raise Refusal(422, f"{place} has a value of no tag: it is looked for at {wanted}")

    def _reading(self, tag: WebhookTagConfig, sample: Sample, now: int) -> Reading:
        value = checked_value(sample.value, tag.value_kind, self._max_text_bytes)
        told = told_quality(sample.quality)
        if value is None and quality.severity(told) is not Severity.BAD:
            told = Quality.BAD  # PD-26: no value needs a BAD quality
        moment = None if sample.moment is None else parse_time(sample.moment, tag.timestamp_format)
        return Reading(tag.path, value, int(told), moment, now)


def _is_json(content_type: str) -> bool:
    media = _media(content_type)
    return media == "application/json" or media in _LINES or (media.startswith("application/") and media.endswith("+json"))


def _media(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _documents(content_type: str, body: bytes) -> Iterator[tuple[str, Any]]:
    """Yield each document with the words for its place. Raises Undecodable."""
    if _media(content_type) not in _LINES:
        content = parse_json(body)
        documents = content if isinstance(content, list) else [content]
        yield from ((f"document {number}", document) for number, document in enumerate(documents, 1))
        return
    for number, line in enumerate(body.split(b"\n"), 1):
        if line.strip():
            try:
                yield f"line {number}", parse_json(line)
            except Undecodable as error:
                raise Undecodable(f"line {number}: {error}") from error
