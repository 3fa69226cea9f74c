"""Configuration and addresses: checked without a connection and without the OPC UA library."""

import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trunkline.sources.opcua.addresses import STANDARD_NAMESPACE, NodeAddress, UnknownNamespace
from trunkline.sources.opcua.config import OpcUaConfig

identifiers = st.one_of(st.integers(0, 2**32 - 1), st.text(min_size=1), st.uuids(), st.binary())
namespaces = st.one_of(st.integers(0, 2**16 - 1), st.text(min_size=1).filter(lambda uri: uri != STANDARD_NAMESPACE))


@given(namespaces, identifiers)
def test_addresses_survive_their_text(namespace: int | str, identifier: int | str | UUID | bytes) -> None:
    address = NodeAddress(namespace, identifier)
    assert NodeAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("i=2258", NodeAddress(0, 2258)),
        ("ns=0;i=2258", NodeAddress(0, 2258)),
        (f"nsu={STANDARD_NAMESPACE};i=2258", NodeAddress(0, 2258)),
        ("ns=3;s=Pump;s=1", NodeAddress(3, "Pump;s=1")),
        ("nsu=http://a%3Bb%25/;s=x", NodeAddress("http://a;b%/", "x")),
        ("ns=2;g=09087e75-8e5e-499b-954f-f2a9603db28a", NodeAddress(2, UUID("09087e75-8e5e-499b-954f-f2a9603db28a"))),
        ("ns=2;b=AP8=", NodeAddress(2, b"\x00\xff")),
    ],
)
def test_addresses(text: str, address: NodeAddress) -> None:
    assert NodeAddress.parse(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "Pump.Flow", "ns=x;s=a", "ns=70000;i=1", "i=-1", "i=4294967296", "i=", "s=", "nsu=;s=a", "g=12", "b=?", "ns=2", "x=1", "ns=2;s"],
)
def test_wrong_addresses(text: str) -> None:
    with pytest.raises(ValueError, match=r"NodeId|identifier|namespace"):
        NodeAddress.parse(text)


def test_namespaces_are_resolved_by_uri() -> None:
    table = (STANDARD_NAMESPACE, "urn:server", "http://plant.example/pumps")
    assert NodeAddress.parse("nsu=http://plant.example/pumps;s=a").index(table) == 2
    assert NodeAddress.parse("ns=7;s=a").index(table) == 7
    with pytest.raises(UnknownNamespace, match="urn:server"):
        NodeAddress.parse("nsu=http://plant.example/valves;s=a").index(table)


def config(**options: Any) -> OpcUaConfig:
    return OpcUaConfig.model_validate({"id": "opc", "type": "opcua", "endpoint": "opc.tcp://192.0.2.1", **options})


def test_the_default_port_is_filled_in() -> None:
    assert config().endpoint == "opc.tcp://192.0.2.1:4840"
    assert config(endpoint="opc.tcp://[2001:db8::1]/path").endpoint == "opc.tcp://[2001:db8::1]:4840/path"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"endpoint": "http://192.0.2.1"}, "opc.tcp://"),
        ({"endpoint": "opc.tcp://user:secret@192.0.2.1"}, "must not carry"),
        ({"endpoint": "opc.tcp://192.0.2.1:99999"}, "port"),
        ({"username": "a", "password": "plain"}, "secret reference"),
        ({"password": "${secret:a}"}, "needs a 'username'"),
        ({"security": {"policy": "Basic256Sha256"}}, "policy None goes with"),
        ({"security": {"mode": "sign"}}, "policy None goes with"),
        ({"security": {"policy": "Basic256"}}, "Basic256Sha256"),
        ({"security": {"policy": "Basic256Sha256", "mode": "sign", "certificate": "a.der"}}, "both 'certificate' and"),
        ({"security": {"trust": ["sha256:12"]}}, "64 hexadecimal digits"),
        ({"tags": [{"path": "P.A", "node": "Flow"}]}, "is not a NodeId"),
        ({"tags": [{"path": "P.A", "node": "i=1", "element": -1}]}, "greater than or equal to 0"),
        ({"events": [{}], "mode": "poll"}, "come by subscription only: set mode 'subscribe'"),
        ({"events": [{}, {"notifier": "ns=0;i=2253"}]}, r"events\[1\].notifier: i=2253 is named twice"),
        ({"events": [{"notifier": "Server"}]}, "is not a NodeId"),
        ({"events": [{"types": ["Alarm"]}]}, "is not a NodeId"),
        ({"events": [{"severity_from": 0}]}, "greater than or equal to 1"),
        ({"events": [{"severity_from": 1001}]}, "less than or equal to 1000"),
        ({"events": [{"asset": "unit 5"}]}, "must be A-Z"),
        ({"events": [{"assets": [{"asset": "PLANT01"}]}]}, "either 'name'"),
        ({"events": [{"assets": [{"name": "P1", "node": "i=1", "asset": "PLANT01"}]}]}, "either 'name'"),
        ({"severities": {"medium": 700}}, r"medium \(700\) must be below high \(667\)"),
        ({"speed": 1}, "Extra inputs"),
    ],
)
def test_wrong_settings(options: dict[str, Any], message: str) -> None:
    """Every mistake is found before connecting, and the message says how to mend it."""
    with pytest.raises(ValidationError, match=message):
        config(**options)


def test_the_example_is_valid() -> None:
    example = yaml.safe_load((Path(__file__).parents[1] / "example.yaml").read_text())
    checked = OpcUaConfig.model_validate(example)
    assert (len(checked.tags), len(checked.events)) == (4, 2)


def test_the_library_is_loaded_only_for_a_running_source() -> None:
    """Checking a site file must not cost the memory of the OPC UA library."""
    code = "import sys, trunkline.sources.opcua; sys.exit('asyncua' in sys.modules or 'cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
