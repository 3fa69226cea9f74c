"""The frame layer: Digi's worked examples, Digi's own library at the other end, and streams cut and damaged anywhere."""

import os
import tty
from collections.abc import Iterator

import pytest
from digi.xbee.models.address import XBee16BitAddress
from digi.xbee.models.mode import OperatingMode
from digi.xbee.packets import factory
from digi.xbee.packets.common import ReceivePacket, TransmitPacket
from digi.xbee.serial import XBeeSerialPort
from hypothesis import assume, given
from hypothesis import strategies as st

from trunkline.sources.xbee.frames import LONGEST_DATA, ApiMode, Damaged, Decoder, encode
from trunkline.sources.xbee.messages import transmit_request
from trunkline.sources.xbee.tests.radio import NODE, address

#: Complete frames as printed in Digi's user guides, without and with escapes.
PRINTED = [
    # XBee SX 868 RF Module User Guide, Receive Packet 0x90, 64-bit unicast
    (1, "7E 00 12 90 00 13 A2 00 41 AE B5 4E FF FE C1 54 78 44 61 74 61 C4"),
    # XBee-PRO 900HP/XSC RF Modules User Guide, Transmit Request 0x10, AP = 1 and AP = 2
    (1, "7E 00 16 10 01 00 13 A2 00 40 0A 01 27 FF FE 00 00 54 78 44 61 74 61 30 41 13"),
    (2, "7E 00 16 10 01 00 7D 33 A2 00 40 0A 01 27 FF FE 00 00 54 78 44 61 74 61 30 41 7D 33"),
    # the same guide, I/O Data Sample Rx Indicator 0x92
    (1, "7E 00 14 92 00 13 A2 00 40 52 2B AA FF FE 01 01 00 1C 02 00 14 02 25 F9"),
    # XBee/XBee-PRO ZB RF Modules, ZigBee Transmit Status 0x8B
    (1, "7E 00 07 8B 01 7D 84 00 00 01 71"),
    # XBee SX 868 RF Module User Guide, Remote AT Command Response 0x97: success, transmission failure, a value
    (1, "7E 00 0F 97 27 00 13 A2 00 12 34 56 78 12 7E 4E 49 00 51"),
    (1, "7E 00 0F 97 27 00 13 A2 00 12 34 56 78 FF FE 49 44 04 EA"),
    (1, "7E 00 11 97 27 00 13 A2 00 12 34 56 78 FF FE 54 50 00 00 2F A8"),
]
MODES: tuple[ApiMode, ...] = (1, 2)
DIGI_MODES = {1: OperatingMode.API_MODE, 2: OperatingMode.ESCAPED_API_MODE}
#: Bytes with many that are special.
DATA = st.lists(st.sampled_from([0x7E, 0x7D, 0x11, 0x13, 0x5E, 0x00, 0x41, 0xFF]), min_size=1, max_size=60).map(bytes)


def received(payload: bytes, mode: int) -> bytes:
    """Return a receive packet as Digi's library writes it."""
    packet = ReceivePacket(address(NODE), XBee16BitAddress.from_hex_string("FFFE"), 0x01, rf_data=bytearray(payload))
    return bytes(packet.output(escaped=mode == 2))


@pytest.mark.parametrize(("mode", "text"), PRINTED)
def test_the_makers_worked_examples_both_ways(mode: ApiMode, text: str) -> None:
    """W-44: the frames that Digi's user guides print are read, and written byte for byte."""
    wire = bytes.fromhex(text)
    (data,) = Decoder(mode).feed(wire)
    assert isinstance(data, bytes)
    assert encode(data, mode) == wire


@given(DATA, st.sampled_from(MODES))
def test_what_digis_library_writes_is_read(payload: bytes, mode: ApiMode) -> None:
    """W-44: an independent implementation, with every kind of special byte."""
    (data,) = Decoder(mode).feed(received(payload, mode))
    assert isinstance(data, bytes)
    assert data[12:] == payload
    assert encode(data, mode) == received(payload, mode)


@given(DATA, st.integers(0, 255))
def test_what_is_written_digis_library_reads(payload: bytes, frame_id: int) -> None:
    wire = encode(transmit_request(frame_id, bytes.fromhex(NODE), payload), 1)
    packet = factory.build_frame(bytearray(wire), OperatingMode.API_MODE)
    assert isinstance(packet, TransmitPacket)
    assert (packet.frame_id, str(packet.x64bit_dest_addr), bytes(packet.rf_data)) == (frame_id, NODE, payload)


@pytest.fixture
def far_end() -> Iterator[tuple[int, XBeeSerialPort]]:
    """One end of a pseudo terminal, and Digi's serial port on the other."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    port = XBeeSerialPort(9600, os.ttyname(theirs), timeout=5)
    port.open()
    yield ours, port
    port.close()
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("mode", MODES)
def test_digis_reader_takes_our_frames_from_a_port(far_end: tuple[int, XBeeSerialPort], mode: ApiMode) -> None:
    """W-44: escapes as the maker's own reader undoes them, over a real port."""
    ours, port = far_end
    payload = bytes([0x7E, 0x7D, 0x11, 0x13, 0x7D, 0x5D, 0x00])
    os.write(ours, encode(transmit_request(0x7E, bytes.fromhex(NODE), payload), mode))
    packet = factory.build_frame(port.wait_for_frame(DIGI_MODES[mode]), OperatingMode.API_MODE)
    assert (packet.frame_id, bytes(packet.rf_data)) == (0x7E, payload)


@given(st.lists(DATA, min_size=1, max_size=5), st.sampled_from(MODES), st.lists(st.integers(1, 20), min_size=1))
def test_a_stream_may_be_cut_anywhere(frames: list[bytes], mode: ApiMode, sizes: list[int]) -> None:
    wire = b"".join(encode(data, mode) for data in frames)
    decoder, found = Decoder(mode), list[bytes | Damaged]()
    at = turn = 0
    while at < len(wire):
        size = sizes[turn % len(sizes)]
        found += decoder.feed(wire[at : at + size])
        at, turn = at + size, turn + 1
    assert found == frames
    assert not decoder.waiting
    assert decoder.noise == 0


@given(DATA, DATA, st.sampled_from(MODES), st.data())
def test_a_frame_cut_short_does_not_take_the_next_along(first: bytes, second: bytes, mode: ApiMode, draw: st.DataObject) -> None:
    """Without escapes bytes of two frames may pass for one, where their checksum fits by chance; with escapes they cannot."""
    whole = encode(first, mode)
    cut = whole[: draw.draw(st.integers(1, len(whole) - 1))]
    decoder = Decoder(mode)
    found = decoder.feed(cut + encode(second, mode)) + decoder.give_up()
    frames = [one for one in found if isinstance(one, bytes)]
    assume(mode == 2 or all(one == second for one in frames))
    assert frames == [second]
    assert len(found) >= 2


@pytest.mark.parametrize("mode", MODES)
def test_a_cut_frame_is_told_and_the_next_ones_are_whole(mode: ApiMode) -> None:
    """Digi's own reader loses the frame behind a cut one (docs/decisions/0011-xbee.md)."""
    good = received(b"abcd", mode)
    found = Decoder(mode).feed(good[:10] + 3 * good)
    assert [type(one) for one in found] == [Damaged, bytes, bytes, bytes]


@given(DATA, st.sampled_from(MODES), st.data())
def test_one_wrong_byte_never_passes(data: bytes, mode: ApiMode, draw: st.DataObject) -> None:
    """W-44: checksums are held to."""
    wire = bytearray(encode(data, mode))
    place = draw.draw(st.integers(0, len(wire) - 1))
    wire[place] ^= draw.draw(st.integers(1, 255))
    decoder = Decoder(mode)
    assert data not in decoder.feed(bytes(wire)) + decoder.give_up()


@given(st.binary(max_size=400), DATA, st.sampled_from(MODES))
def test_any_noise_ends_and_leaves_nothing_behind(noise: bytes, data: bytes, mode: ApiMode) -> None:
    """After a moment of quiet the next frame is whole, whatever came before."""
    decoder = Decoder(mode)
    for one in decoder.feed(noise) + decoder.give_up():
        assert one.why if isinstance(one, Damaged) else one
    assert not decoder.waiting
    assert decoder.feed(encode(data, mode)) == [data]


@given(st.lists(st.sampled_from([0x7E, 0x7D, 0x00, 0x01, 0x5E]), max_size=300).map(bytes), st.sampled_from(MODES))
def test_noise_of_special_bytes_ends_too(noise: bytes, mode: ApiMode) -> None:
    decoder = Decoder(mode)
    decoder.feed(noise)
    decoder.give_up()
    assert not decoder.waiting


def test_a_length_that_cannot_be_does_not_hold_up_the_stream() -> None:
    good = encode(b"\x8a\x00", 1)
    damaged, frame = Decoder(1).feed(b"\x7e" + (LONGEST_DATA + 1).to_bytes(2, "big") + good)
    assert damaged == Damaged(good, f"its length of {LONGEST_DATA + 1} cannot be")
    assert frame == b"\x8a\x00"


def test_what_is_wrong_with_a_frame_is_said() -> None:
    wire = encode(b"\x8a\x06", 1)
    assert Decoder(1).feed(wire[:-1] + b"\x00") == [Damaged(b"\x8a\x06", "its checksum is 0x00, not 0x6F")]
    assert Decoder(2).feed(wire[:4] + wire) == [Damaged(b"\x8a", "another frame begins inside it"), b"\x8a\x06"]
    decoder = Decoder(1)
    assert decoder.feed(wire[:4]) == []
    assert decoder.give_up() == [Damaged(b"\x8a", "it ends before its length")]
