"""Samples in a JSON document: values with their times and qualities, found by JSONPaths."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from trunkline.sources.decoding import Undecodable
from trunkline.sources.jsonpath import Finder, compile_path, is_singular


class Sample(NamedTuple):
    """What was found for one value; None where nothing was."""

    value: object
    moment: object
    quality: object


class SampleFinder:
    """Finds the samples of one tag."""

    def __init__(self, value: str, timestamp: str | None, quality: str | None) -> None:
        """Compile the JSONPaths."""
        self._value = _Path(value)
        self._time, self._quality = (_Path(text) if text else None for text in (timestamp, quality))

    def find(self, document: Any) -> list[Sample]:  # noqa: ANN401 - any JSON document
        """Return the samples in their order, none when there is no value. Raises Undecodable if times or qualities do not fit them."""
        found = _samples(self._value.find(document))
        moments = _spread(self._time, document, len(found))
        codes = _spread(self._quality, document, len(found))
        return [Sample(*sample) for sample in zip(found, moments, codes, strict=True)]


class _Path:
    """A compiled JSONPath."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.find: Finder = compile_path(text)
        self.singular = is_singular(text)


def _samples(found: list[Any]) -> list[Any]:
    """Return the samples of a path's result: a list found in one place is a row of samples."""
    return found[0] if len(found) == 1 and isinstance(found[0], list) else found


def _spread(path: _Path | None, document: Any, count: int) -> Sequence[Any]:  # noqa: ANN401 - any JSON document
    """Return what a path finds for each of `count` samples, None where it finds nothing. Raises Undecodable if the numbers do not fit."""
    found = path.find(document) if path else []
    entries = _samples(found)
    if len(entries) == count:
        return entries
    if not entries:
        return (None,) * count
    if path and path.singular and entries is found:
        return found * count  # one for all samples
    raise Undecodable(f"{len(entries)} entries at {path.text if path else ''} for {count} values")
