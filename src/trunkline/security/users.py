"""People who log in: the administrator of the first start, and those added later."""

import re
import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from trunkline.model import times
from trunkline.model.errors import Misconfigured
from trunkline.security import passwords
from trunkline.security.roles import Role
from trunkline.security.store import Store

ADMINISTRATOR: Final = "admin"
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


class User(NamedTuple):
    """Somebody who may log in."""

    name: str
    role: Role
    created_us: int
    changed_us: int


def ensure_administrator(data_dir: Path) -> str | None:
    """Create the user 'admin' when nobody can log in as an administrator yet (GD-1).

    Returns:
        The generated password, to be shown once to the person who started the site: only its hash is kept. None when there is an
        administrator already.

    Raises:
        Misconfigured, CorruptData: the store cannot be opened.
    """
    store = Store(data_dir)
    try:
        with store.reading() as connection:
            if _has_administrator(connection):
                return None
        password = passwords.generate()
        digest = passwords.hash_password(password)
        with store.writing() as connection:
            if _has_administrator(connection):
                return None
            _insert(connection, ADMINISTRATOR, Role.ADMINISTRATOR, digest)
        return password
    finally:
        store.close()


def reset_password(data_dir: Path, username: str = ADMINISTRATOR, password: str | None = None) -> str:
    """Give a user a new password and end all of their sessions.

    Args:
        data_dir: the site's data directory.
        username: an existing user.
        password: the new one; None generates it.

    Returns:
        The new password.

    Raises:
        Misconfigured: there is no such user.
        WeakPassword: the password given is too easy.
    """
    store = Store(data_dir)
    try:
        return set_password(store, username, password)
    finally:
        store.close()


def set_password(store: Store, username: str, password: str | None = None) -> str:
    """Like `reset_password`, on an open store."""
    if password is None:
        password = passwords.generate()
    else:
        passwords.accept(password, username)
    digest = passwords.hash_password(password)
    with store.writing() as connection:
        changed = connection.execute("UPDATE user SET hash = ?, changed_us = ? WHERE name = ?", (digest, times.now(), username))
        _one(changed, username)
        connection.execute("DELETE FROM session WHERE user = ?", (username,))
    return password


def add_user(store: Store, username: str, role: Role, password: str | None = None) -> str:
    """Add somebody and return their password, generated when none is given.

    Raises:
        ValueError: `username` is not a user's name.
        Misconfigured: there is such a user already.
        WeakPassword: the password given is too easy.
    """
    if not _NAME.fullmatch(username):
        raise ValueError("a user's name has up to 64 of a-z, 0-9, '.', '_', '@' and '-', and starts with a letter or digit")
    if password is None:
        password = passwords.generate()
    else:
        passwords.accept(password, username)
    digest = passwords.hash_password(password)
    with store.writing() as connection:
        try:
            _insert(connection, username, role, digest)
        except sqlite3.IntegrityError:
            raise Misconfigured(f"there is a user {username!r} already: choose another name, or reset the password") from None
    return password


def set_role(store: Store, username: str, role: Role) -> None:
    """Change what somebody may do, from their next request on. Raises Misconfigured: unknown, or the last administrator."""
    with store.writing() as connection:
        _one(connection.execute("UPDATE user SET role = ?, changed_us = ? WHERE name = ?", (role, times.now(), username)), username)
        _keep_administrator(connection)


def remove_user(store: Store, username: str) -> None:
    """Remove somebody and end their sessions. Raises Misconfigured: unknown, or the last administrator."""
    with store.writing() as connection:
        _one(connection.execute("DELETE FROM user WHERE name = ?", (username,)), username)
        _keep_administrator(connection)


def users(store: Store) -> list[User]:
    """Return everybody, by name."""
    with store.reading() as connection:
        rows = connection.execute("SELECT name, role, created_us, changed_us FROM user ORDER BY name").fetchall()
    return [User(name, Role(role), created, changed) for name, role, created, changed in rows]


def _insert(connection: sqlite3.Connection, username: str, role: Role, digest: str) -> None:
    now = times.now()
    connection.execute("INSERT INTO user VALUES (?, ?, ?, ?, ?)", (username, role, digest, now, now))


def _one(changed: sqlite3.Cursor, username: str) -> None:
    if changed.rowcount != 1:
        raise Misconfigured(f"there is no user {username!r}")


def _has_administrator(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM user WHERE role = ? LIMIT 1", (Role.ADMINISTRATOR,)).fetchone() is not None


def _keep_administrator(connection: sqlite3.Connection) -> None:
    if not _has_administrator(connection):
        raise Misconfigured("this is the last administrator: nobody could manage users any more")
