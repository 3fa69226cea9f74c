import contextlib

import pytest
from digi.xbee.io import IOLine, IOSample, IOValue
from digi.xbee.models.address import XBee16BitAddress
from digi.xbee.models.mode import OperatingMode
from digi.xbee.packets import factory
from digi.xbee.packets.common import ATCommPacket, ExplicitRXIndicatorPacket, RemoteATCommandPacket
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sources.xbee.frames import Decoder, encode
from trunkline.sources.xbee.mapping import Channel
from trunkline.sources.xbee.messages import (
    AtResponse,
    ModemStatus,
    Other,
    Received,
    RemoteAtResponse,
    Sampled,
    TransmitStatus,
    at_request,
    parse,
    remote_at_request,
    sample,
    sender,
)
from trunkline.sources.xbee.tests.radio import NODE, address

GUIDE = bytes.fromhex("0013A20040522BAA")


def data_of(text: str) -> bytes:
    (data,) = Decoder(1).feed(bytes.fromhex(text))
    assert isinstance(data, bytes)
    return data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("7E 00 12 90 00 13 A2 00 41 AE B5 4E FF FE C1 54 78 44 61 74 61 C4", Received(bytes.fromhex(NODE), b"TxData")),
        (
            "7E 00 14 92 00 13 A2 00 40 52 2B AA FF FE 01 01 00 1C 02 00 14 02 25 F9",
            Sampled(GUIDE, {Channel("digital", 2): 1, Channel("digital", 3): 0, Channel("digital", 4): 1, Channel("analog", 1): 0x0225}),
        ),
        ("7E 00 07 8B 01 7D 84 00 00 01 71", TransmitStatus(1, 0)),
        (
            "7E 00 0F 97 27 00 13 A2 00 12 34 56 78 FF FE 49 44 04 EA",
            RemoteAtResponse(0x27, bytes.fromhex("0013A20012345678"), b"ID", 4, b""),
        ),
        (
            "7E 00 11 97 27 00 13 A2 00 12 34 56 78 FF FE 54 50 00 00 2F A8",
            RemoteAtResponse(0x27, bytes.fromhex("0013A20012345678"), b"TP", 0, b"\x00\x2f"),
        ),
    ],
)
def test_the_makers_worked_examples_mean_what_the_guides_say(text: str, message: object) -> None:
    """W-44: fields as Digi's user guides explain them (sources in test_frames.py)."""
    assert parse(data_of(text)) == message


def test_short_frames_of_the_module_itself() -> None:
    assert parse(b"\x88\x01AP\x00\x02") == AtResponse(1, b"AP", 0, b"\x02")
    assert parse(b"\x8a\x06") == ModemStatus(6)
    assert parse(b"\x95\x00") == Other(0x95)


@given(st.binary(max_size=80), st.integers(0, 255))
def test_explicit_packets_give_their_payload(payload: bytes, endpoint: int) -> None:
    """The addressing of the application (endpoints, cluster, profile) is longer by six bytes; the payload is the same."""
    packet = ExplicitRXIndicatorPacket(
        address(NODE), XBee16BitAddress.from_hex_string("FFFE"), endpoint, 0xE8, 0x0011, 0xC105, 0x01, rf_data=bytearray(payload)
    )
    (data,) = Decoder(1).feed(bytes(packet.output()))
    assert isinstance(data, bytes)
    assert parse(data) == Received(bytes.fromhex(NODE), payload)


@given(st.integers(0, 0x7FFF), st.integers(0, 15), st.lists(st.integers(0, 1023), min_size=5, max_size=5), st.integers(0, 0xFFFF))
def test_samples_mean_what_digis_library_reads(digital: int, analog: int, words: list[int], states: int) -> None:
    """W-44: every mask of inputs, against an independent implementation."""
    analog |= 0x80  # the supply voltage as well
    used = words[: analog.bit_count()]
    raw = bytes([1]) + digital.to_bytes(2, "big") + bytes([analog])
    raw += (states & digital).to_bytes(2, "big") if digital else b""
    raw += b"".join(word.to_bytes(2, "big") for word in used)
    theirs, ours = IOSample(bytearray(raw)), sample(raw)
    for line in IOLine:
        if theirs.has_digital_value(line):
            assert ours[Channel("digital", line.index)] == (theirs.get_digital_value(line) is IOValue.HIGH)
        if theirs.has_analog_value(line):
            assert ours[Channel("analog", line.index)] == theirs.get_analog_value(line)
    assert len(ours) == digital.bit_count() + analog.bit_count()
    assert ours[Channel("analog", 7)] == used[-1] == theirs.power_supply_value


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x90" + GUIDE, "type 0x90 has at least 12 bytes, this one 9"),
        (b"\x8b\x01", "type 0x8B has at least 7 bytes, this one 2"),
        (b"\x92" + GUIDE + b"\xff\xfe\x01\x01\x00", "at least 4 bytes, this one 2"),
        (b"\x92" + GUIDE + b"\xff\xfe\x01\x01\x00\x01\x03\x00\x01\x02", "these masks has 10 bytes, this one 7"),
    ],
)
def test_a_frame_too_short_for_its_type_is_told(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(data)


@given(st.binary(min_size=1, max_size=60))
def test_any_data_is_a_message_or_a_plain_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        parse(data)
    assert sender(data) is None or sender(data) == data[1:9]


def test_requests_as_digis_library_reads_them() -> None:
    """W-51: what a poll sends."""
    asked = factory.build_frame(bytearray(encode(at_request(5, b"AP"), 1)), OperatingMode.API_MODE)
    assert isinstance(asked, ATCommPacket)
    assert (asked.frame_id, asked.command, asked.parameter) == (5, "AP", None)
    forced = factory.build_frame(bytearray(encode(remote_at_request(6, bytes.fromhex(NODE), b"IS"), 1)), OperatingMode.API_MODE)
    assert isinstance(forced, RemoteATCommandPacket)
    assert (forced.frame_id, str(forced.x64bit_dest_addr), forced.command, forced.parameter) == (6, NODE, "IS", None)
