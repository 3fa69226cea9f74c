"""A client's side of SCRAM (RFC 5802, RFC 7677), for the few requests that librdkafka cannot make."""

import base64
import hashlib
import hmac
import secrets
from typing import Final

#: Mechanism to the hash that it uses.
HASHES: Final = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
#: A server that asks for more only wants the client's processor.
_MOST_ROUNDS: Final = 1_000_000


class ScramError(Exception):
    """The server does not know the password, or did not follow the protocol."""


class ScramClient:
    """One login: `first` is sent, `final` answers the server's challenge, `finish` checks that the server knows the password as well.

    Args:
        mechanism: a key of `HASHES`.
        username: who logs in.
        password: never sent.
        nonce: printable, without a comma; random unless given.
    """

    def __init__(self, mechanism: str, username: str, password: str, nonce: str = "") -> None:
        self._hash = HASHES[mechanism]
        self._password = password.encode()
        self._nonce = nonce or secrets.token_urlsafe(24)
        name = username.replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={name},r={self._nonce}"
        self._signature = b""

    def first(self) -> bytes:
        """Return the client's first message, without channel binding."""
        return f"n,,{self._bare}".encode()

    def final(self, challenge: bytes) -> bytes:
        """Return the client's proof. Raises ScramError."""
        fields = _fields(challenge)
        try:
            nonce, salt, rounds = fields["r"], base64.b64decode(fields["s"], validate=True), int(fields["i"])
        except (KeyError, ValueError) as error:
            raise ScramError(fields.get("e", "the server's challenge cannot be read")) from error
        if not nonce.startswith(self._nonce) or not 1 <= rounds <= _MOST_ROUNDS:
            raise ScramError("the server's challenge does not answer ours")
        without_proof = f"c=biws,r={nonce}"
        transcript = f"{self._bare},{challenge.decode(errors='replace')},{without_proof}".encode()
        salted = hashlib.pbkdf2_hmac(self._hash, self._password, salt, rounds)
        key = self._mac(salted, b"Client Key")
        signature = self._mac(hashlib.new(self._hash, key).digest(), transcript)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        self._signature = self._mac(self._mac(salted, b"Server Key"), transcript)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def finish(self, answer: bytes) -> None:
        """Check the server's signature. Raises ScramError."""
        fields = _fields(answer)
        try:
            signature = base64.b64decode(fields["v"], validate=True)
        except (KeyError, ValueError) as error:
            raise ScramError(fields.get("e", "the server's signature cannot be read")) from error
        if not hmac.compare_digest(signature, self._signature):
            raise ScramError("the server does not know the password")

    def _mac(self, key: bytes, text: bytes) -> bytes:
        return hmac.digest(key, text, self._hash)


def _fields(message: bytes) -> dict[str, str]:
    return {name: value for name, _, value in (part.partition("=") for part in message.decode(errors="replace").split(","))}
