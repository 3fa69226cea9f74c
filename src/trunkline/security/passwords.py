"""Passwords: Argon2id hashes (RFC 9106), generated values, and those that are never taken (GD-1, GD-4)."""

import secrets
from base64 import b64encode
from typing import Final

import argon2
from pwdlib import PasswordHash
from pwdlib.exceptions import PwdlibError
from pwdlib.hashers.argon2 import Argon2Hasher

from trunkline.security.errors import WeakPassword

MIN_LENGTH: Final = 12
#: Longer ones only cost time to hash.
MAX_LENGTH: Final = 1024
GENERATED_BYTES: Final = 18

#: Published or guessed first, whatever their length.
_KNOWN: Final = ("password", "scada@2024", "administrator", "trunkline", "changeme", "letmein", "12345678", "qwertyui")

_hasher = PasswordHash((Argon2Hasher(),))


def _hash_of_nothing() -> str:
    """Return random bytes in the form of a hash, at the hasher's own cost to check; no password has it, and nothing was hashed for it."""
    salt, digest = (
        b64encode(secrets.token_bytes(length)).decode().rstrip("=")
        for length in (argon2.DEFAULT_RANDOM_SALT_LENGTH, argon2.DEFAULT_HASH_LENGTH)
    )
    cost = f"m={argon2.DEFAULT_MEMORY_COST},t={argon2.DEFAULT_TIME_COST},p={argon2.DEFAULT_PARALLELISM}"
    return f"$argon2id$v={argon2.low_level.ARGON2_VERSION}${cost}${salt}${digest}"


#: Checked when there is no such user, so that the answer takes as long.
NOBODY: Final = _hash_of_nothing()


def generate() -> str:
    """Return a random password: 144 bits as 24 characters that survive being typed and put into addresses."""
    return secrets.token_urlsafe(GENERATED_BYTES)


def accept(password: str, username: str) -> None:
    """Raises WeakPassword when a chosen password is too short, too long or known to everybody."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise WeakPassword(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")
    folded = password.casefold()
    reduced = folded
    for word in (*_KNOWN, username.casefold()):
        reduced = reduced.replace(word, "")
    if len(reduced) < MIN_LENGTH // 2 or len(set(folded)) < 5:
        raise WeakPassword("the password is too easy to guess: use several unrelated words, or let one be generated")


def hash_password(password: str) -> str:
    """Return the Argon2id hash in PHC form. Takes tens of milliseconds and 64 MiB."""
    return _hasher.hash(password)


def verify(password: str, stored: str | None) -> tuple[bool, str | None]:
    """Check a password in the time that it takes, whether or not the user exists.

    Args:
        password: as typed.
        stored: the user's hash; None when there is no such user.

    Returns:
        Whether it is right, and a fresh hash when the parameters of the stored one are outdated.
    """
    if len(password) > MAX_LENGTH:
        return False, None
    try:
        right, fresh = _hasher.verify_and_update(password, stored or NOBODY)
    except PwdlibError:
        return False, None
    return right and stored is not None, fresh if stored is not None else None
