"""The door: who is asking? Logins, sessions and API tokens."""

import hashlib
import hmac
import logging
import re
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from trunkline.model import times
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.security import passwords
from trunkline.security.errors import NotAuthenticated, TooManyAttempts, WrongCredentials
from trunkline.security.limits import LoginLimiter
from trunkline.security.roles import Role
from trunkline.security.store import Store

IDLE: Final = 12 * times.HOUR
ABSOLUTE: Final = 7 * times.DAY
#: How exactly the last use of a session is kept: a write for every request would be too many.
_SEEN_STEP: Final = times.MINUTE
TOKEN_PREFIX: Final = "trunkline_"  # noqa: S105 - lets scanners find a token that was committed by accident
MAX_TOKEN_DAYS: Final = 366
_TOKEN_BYTES: Final = 32
_MAX_TOKEN: Final = 128
_TOKEN_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
#: Hashing takes 64 MiB each: more at once would let strangers fill the memory.
_HASHING: Final = threading.BoundedSemaphore(2)

_log = logging.getLogger(__name__)


class Identity(NamedTuple):
    """Somebody who was let in.

    Attributes:
        name: user name, or the token's name.
        role: what they may do.
        machine: came with an API token, not with a session.
        expires_us: when they have to log in again at the latest.
    """

    name: str
    role: Role
    machine: bool
    expires_us: int


class Door:
    """Lets people and machines in. Thread-safe; `login` takes tens of milliseconds, the rest microseconds."""

    def __init__(self, data_dir: Path, *, limiter: LoginLimiter | None = None, clock: Callable[[], int] = times.now) -> None:
        self._store = Store(data_dir)
        self._limiter = limiter or LoginLimiter()
        self._clock = clock

    @property
    def store(self) -> Store:
        """Where users are kept: see `trunkline.security.users`."""
        return self._store

    def login(self, username: str, password: str, address: str) -> tuple[str, Identity]:
        """Check a password and open a session.

        Args:
            username: as typed.
            password: as typed.
            address: where the request came from, for counting failures.

        Returns:
            The session's token, which is kept nowhere, and who it stands for.

        Raises:
            RetryLater: the session cannot be stored now.
            TooManyAttempts: not even looked at.
            WrongCredentials: unknown user or wrong password.
        """
        try:
            self._limiter.attempt(username, address)
        except TooManyAttempts as refusal:
            _log.warning("login refused: too many failures", extra={"address": address, "retry_after": refusal.retry_after})
            raise
        with self._store.reading() as connection:
            row = connection.execute("SELECT hash, role FROM user WHERE name = ?", (username,)).fetchone()
        with _HASHING:
            right, fresh = passwords.verify(password, row[0] if row else None)
        if not right:
            # a name that nobody has may be a password in the wrong field: it is not written down
            _log.warning("login failed", extra={"user": username if row else "(unknown)", "address": address})
            raise WrongCredentials("user name or password is wrong")
        self._limiter.succeeded(username, address)
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        now = self._clock()
        with self._store.writing() as connection:
            if fresh is not None:
                connection.execute("UPDATE user SET hash = ? WHERE name = ? AND hash = ?", (fresh, username, row[0]))
            connection.execute("DELETE FROM session WHERE created_us < ? OR seen_us < ?", (now - ABSOLUTE, now - IDLE))
            connection.execute("INSERT INTO session VALUES (?, ?, ?, ?)", (_digest(token), username, now, now))
        _log.info("login", extra={"user": username, "address": address})
        return token, Identity(username, Role(row[1]), machine=False, expires_us=min(now + IDLE, now + ABSOLUTE))

    def by_session(self, token: str, *, prolong: bool = True) -> Identity:
        """Return who a session stands for; asking counts as use unless `prolong` is False. Raises NotAuthenticated."""
        digest = _digest(token)
        now = self._clock()
        with self._store.reading() as connection:
            row = connection.execute(
                "SELECT s.digest, s.user, s.created_us, s.seen_us, u.role FROM session s JOIN user u ON u.name = s.user WHERE s.digest = ?",
                (digest,),
            ).fetchone()
        if row is None or not hmac.compare_digest(row[0], digest):
            raise NotAuthenticated("there is no such session: log in")
        _, user, created, seen, role = row
        if now >= min(seen + IDLE, created + ABSOLUTE):
            self.logout(token)
            raise NotAuthenticated("the session has expired: log in again")
        if prolong and now - seen >= _SEEN_STEP:
            try:
                with self._store.writing(durable=False) as connection:
                    connection.execute("UPDATE session SET seen_us = ? WHERE digest = ?", (now, digest))
            except RetryLater as error:
                # a full disk must not log the operator out who is to mend it
                _log.warning("session could not be prolonged", extra={"reason": str(error)})
            seen = now
        return Identity(user, Role(role), machine=False, expires_us=min(seen + IDLE, created + ABSOLUTE))

    def logout(self, token: str) -> None:
        """End a session; unknown ones are no error."""
        with self._store.writing() as connection:
            connection.execute("DELETE FROM session WHERE digest = ?", (_digest(token),))

    def by_token(self, token: str) -> Identity:
        """Return who an API token stands for. Raises NotAuthenticated."""
        digest = _digest(token)
        with self._store.reading() as connection:
            row = connection.execute("SELECT digest, name, role, expires_us FROM token WHERE digest = ?", (digest,)).fetchone()
        if row is None or not hmac.compare_digest(row[0], digest):
            raise NotAuthenticated("the token is not valid")
        if self._clock() >= row[3]:
            raise NotAuthenticated(f"the token {row[1]!r} has expired: create another one")
        return Identity(row[1], Role(row[2]), machine=True, expires_us=row[3])

    def create_token(self, name: str, role: Role, days: float = 90) -> str:
        """Create an API token and return it: it is kept nowhere.

        Raises:
            ValueError: `name` or `days` cannot be used.
            Misconfigured: there is a token of this name.
        """
        if not _TOKEN_NAME.fullmatch(name):
            raise ValueError("a token's name has up to 64 of a-z, 0-9, '.', '_' and '-', and starts with a letter or digit")
        if not 0 < days <= MAX_TOKEN_DAYS:
            raise ValueError(f"a token lives for up to {MAX_TOKEN_DAYS} days")
        token = TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
        now = self._clock()
        with self._store.writing() as connection:
            if connection.execute("SELECT 1 FROM token WHERE name = ?", (name,)).fetchone():
                raise Misconfigured(f"there is a token {name!r} already: revoke it, or choose another name")
            row = (name, _digest(token), role, now, now + round(days * times.DAY))
            connection.execute("INSERT INTO token VALUES (?, ?, ?, ?, ?)", row)
        return token

    def revoke_token(self, name: str) -> None:
        """End an API token at once. Raises Misconfigured when there is none of this name."""
        with self._store.writing() as connection:
            if connection.execute("DELETE FROM token WHERE name = ?", (name,)).rowcount != 1:
                raise Misconfigured(f"there is no token {name!r}")

    def tokens(self) -> list[Identity]:
        """Return all API tokens by name, expired ones included."""
        with self._store.reading() as connection:
            rows = connection.execute("SELECT name, role, expires_us FROM token ORDER BY name").fetchall()
        return [Identity(name, Role(role), machine=True, expires_us=expires) for name, role, expires in rows]

    def close(self) -> None:
        """Close the store."""
        self._store.close()


def _digest(token: str) -> bytes:
    """Return what is kept of a token. It has 256 random bits: a plain hash cannot be reversed."""
    if len(token) > _MAX_TOKEN:
        raise NotAuthenticated("the token is not valid")
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
