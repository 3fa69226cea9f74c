"""Options and topics: what is refused, and how it is told."""

from typing import Any

import pytest
from pydantic import ValidationError

from trunkline.sources.sparkplug import topics
from trunkline.sources.sparkplug.config import SparkplugConfig
from trunkline.sources.sparkplug.topics import MessageType, Topic

TAG = {"path": "P.FLOW", "node": "edge-1", "metric": "Flow"}
SECTION = {"id": "edges", "host": "broker.example", "group": "plant", "tags": [TAG]}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"group": "a/b"}, "no Sparkplug id"),
        ({"group": ""}, "no Sparkplug id"),
        ({"host_id": "a#"}, "no Sparkplug id"),
        ({"nodes": ["+"]}, "no Sparkplug id"),
        ({"tags": [{**TAG, "device": ""}]}, "no Sparkplug id"),
        ({"tags": [{**TAG, "metric": ""}]}, "at least 1 character"),
        ({"nodes": ["edge-2"]}, "edge node 'edge-1' is not among 'nodes': add it, or leave 'nodes' out"),
        ({"keepalive": 10}, r"keepalive \(10 s\) must be below stale_after \(10 s\)"),
        ({"username": "u", "password": "${secret:p}"}, "add 'tls'"),
        ({"username": "u", "password": "clear"}, "pattern"),
        ({"qos": 1}, "Extra inputs"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], why: str) -> None:
    """W-48."""
    with pytest.raises(ValidationError, match=why):
        SparkplugConfig.model_validate({**SECTION, **change})


def test_filters_bring_no_commands() -> None:
    """The host must not hear what it says itself."""
    every = topics.filters("plant", ())
    assert sorted(every) == sorted(
        [f"spBv1.0/plant/{kind}/+" for kind in ("NBIRTH", "NDEATH", "NDATA")]
        + [f"spBv1.0/plant/{kind}/+/+" for kind in ("DBIRTH", "DDEATH", "DDATA")]
    )
    assert len(topics.filters("plant", ("a", "b"))) == 12
    assert "spBv1.0/plant/DDATA/b/+" in topics.filters("plant", ("a", "b"))


@pytest.mark.parametrize(
    ("topic", "parsed"),
    [
        ("spBv1.0/plant/NBIRTH/edge 1", Topic(MessageType.NBIRTH, "edge 1")),
        ("spBv1.0/plant/DDATA/edge-1/pump", Topic(MessageType.DDATA, "edge-1", "pump")),
        ("spBv1.0/plant/DDATA/edge-1", None),
        ("spBv1.0/plant/NDATA/edge-1/pump", None),
        ("spBv1.0/plant/NCMD/edge-1", None),
        ("spBv1.0/STATE/host", None),
        ("", None),
    ],
)
def test_topics_are_told_apart(topic: str, parsed: Topic | None) -> None:
    assert topics.parse(topic) == parsed
