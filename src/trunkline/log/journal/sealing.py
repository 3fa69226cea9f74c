"""Sealing: what a journal or a copy-out holds, unreadable and unchangeable without a key (decision 0014).

The cipher is XAES-256-GCM (C2SP, c2sp.org/XAES-256-GCM): of a random nonce of 192 bits the first half derives a key for this one message
(NIST SP 800-108r1, counter mode with CMAC), under which AES-256-GCM (NIST SP 800-38D) runs with the second half. So nobody has to count or
remember nonces: not over a transaction that was rolled back, nor over a file that was restored from a copy and written on.

Everything is bound to the place it belongs to: sealed bytes that are moved elsewhere do not open.
"""

import base64
from hashlib import sha256
from os import urandom
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode

from trunkline.model.errors import CorruptData, Misconfigured

#: Bytes that sealing adds: the nonce and the tag.
OVERHEAD: Final = 24 + 16

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 24
_HALF: Final = 12
_WRAPPED: Final = b"trunkline data key 1"
_TEXT: Final = "sealed:"


class WrongKey(Misconfigured):
    """What is sealed was to be opened without its key, or with another one; or the key cannot be had."""


class Key:
    """A key of 256 bits.

    Args:
        raw: its 32 bytes.

    Attributes:
        fingerprint: tells keys apart and gives nothing away: 8 hexadecimal digits.
    """

    def __init__(self, raw: bytes) -> None:
        if len(raw) != _KEY_BYTES:
            raise ValueError(f"a key has {_KEY_BYTES} bytes, not {len(raw)}")
        self._raw = raw
        self.fingerprint = sha256(b"trunkline key 1" + raw).hexdigest()[:8]

    @classmethod
    def random(cls) -> "Key":
        """Return a new key."""
        return cls(urandom(_KEY_BYTES))

    def __repr__(self) -> str:
        return f"Key({self.fingerprint})"

    def seal(self, plain: bytes, place: bytes) -> bytes:
        """Return `plain` sealed, `OVERHEAD` bytes longer; `place` has to be the same when it is opened."""
        nonce = urandom(_NONCE_BYTES)
        return nonce + self._cipher(nonce).encrypt(nonce[_HALF:], plain, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Return what was sealed for `place`. Raises CorruptData: with another key, for another place, or changed since."""
        if len(sealed) < OVERHEAD:
            raise CorruptData(f"{len(sealed)} sealed bytes are too few")
        nonce = sealed[:_NONCE_BYTES]
        try:
            return self._cipher(nonce).decrypt(nonce[_HALF:], sealed[_NONCE_BYTES:], place)
        except InvalidTag:
            raise CorruptData("the seal does not open: changed, moved here from elsewhere, or of another key") from None

    def _cipher(self, nonce: bytes) -> AESGCM:
        fixed = b"X\0" + nonce[:_HALF]
        derived = KBKDFCMAC(AES, Mode.CounterMode, _KEY_BYTES, 2, None, CounterLocation.BeforeFixed, None, None, fixed)
        return AESGCM(derived.derive(self._raw))

    def seal_text(self, plain: str, place: str) -> str:
        """Return a text sealed as a text."""
        return _TEXT + base64.b64encode(self.seal(plain.encode(), place.encode())).decode()

    def open_text(self, text: str, place: str) -> str:
        """Return the text sealed for `place`. Raises CorruptData."""
        try:
            return self.open(base64.b64decode(text.removeprefix(_TEXT), validate=True), place.encode()).decode()
        except ValueError as error:
            raise CorruptData(f"sealed text cannot be read: {error}") from error

    def wrap(self, other: "Key") -> str:
        """Return another key sealed with this one, to be stored in the open; it names the key that it needs."""
        sealed = self.seal(other._raw, _WRAPPED)  # noqa: SLF001 - of its own kind
        return f"1:{self.fingerprint}:{base64.b64encode(sealed).decode()}"

    def unwrap(self, wrapped: str) -> "Key":
        """Return the key that this one wrapped. Raises WrongKey."""
        try:
            return Key(self.open(base64.b64decode(wrapped.rpartition(":")[2], validate=True), _WRAPPED))
        except (CorruptData, ValueError):
            raise WrongKey(f"sealed with the key {needed(wrapped)}, not with {self.fingerprint}, which was given") from None


def needed(wrapped: str) -> str:
    """Return the fingerprint of the key that opens a wrapped one."""
    return wrapped.split(":")[1] if wrapped.count(":") == 2 else "?"


def is_sealed_text(text: str) -> bool:
    """Return whether a text is one that `Key.seal_text` made, as far as can be seen."""
    return text.startswith(_TEXT)
