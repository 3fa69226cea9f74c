"""Who is let in, for how long, and what is kept of it."""

import logging
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from trunkline.model import times
from trunkline.model.errors import CorruptData, Misconfigured
from trunkline.security.door import ABSOLUTE, IDLE, TOKEN_PREFIX, Door
from trunkline.security.errors import NotAuthenticated, TooManyAttempts, WeakPassword, WrongCredentials
from trunkline.security.limits import Limits, LoginLimiter
from trunkline.security.roles import Role
from trunkline.security.users import (
    ADMINISTRATOR,
    add_user,
    ensure_administrator,
    remove_user,
    reset_password,
    set_password,
    set_role,
    users,
)


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.us = 1_800_000_000 * times.SECOND

    def __call__(self) -> int:
        return self.us


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def password(tmp_path: Path) -> str:
    generated = ensure_administrator(tmp_path)
    assert generated is not None
    return generated


@pytest.fixture
def door(tmp_path: Path, clock: Clock, password: str) -> Iterator[Door]:
    door = Door(tmp_path, clock=clock, limiter=LoginLimiter(clock=lambda: clock.us / times.SECOND))
    yield door
    door.close()


def test_the_first_start_makes_one_administrator(tmp_path: Path, password: str) -> None:
    """GD-1: a random password, told once; the second start tells nothing."""
    assert len(password) >= 24
    assert ensure_administrator(tmp_path) is None
    assert ensure_administrator(tmp_path / "other") not in {None, password}


def test_only_hashes_are_kept_in_a_private_file(tmp_path: Path, door: Door, password: str) -> None:
    """G-49, GD-4: Argon2id; neither passwords nor session or API tokens are in any file."""
    session, _ = door.login(ADMINISTRATOR, password, "127.0.0.1")
    token = door.create_token("reports", Role.VIEWER)
    folder = tmp_path / "security"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        kept = file.read_bytes()
        for secret in (password, session, token, token.removeprefix(TOKEN_PREFIX)):
            assert secret.encode() not in kept
    with sqlite3.connect(folder / "security.db") as connection:
        assert connection.execute("SELECT hash FROM user").fetchone()[0].startswith("$argon2id$")


def test_a_session_lives_while_it_is_used(door: Door, clock: Clock, password: str) -> None:
    """Twelve hours without use, seven days at most."""
    token, identity = door.login(ADMINISTRATOR, password, "127.0.0.1")
    assert (identity.name, identity.role, identity.machine) == (ADMINISTRATOR, Role.ADMINISTRATOR, False)
    start = clock.us
    while clock.us + IDLE - times.HOUR < start + ABSOLUTE:
        clock.us += IDLE - times.HOUR
        assert door.by_session(token).expires_us <= start + ABSOLUTE
    clock.us = start + ABSOLUTE
    with pytest.raises(NotAuthenticated, match="expired"):
        door.by_session(token)


def test_an_idle_session_ends(door: Door, clock: Clock, password: str) -> None:
    token, _ = door.login(ADMINISTRATOR, password, "127.0.0.1")
    clock.us += IDLE
    with pytest.raises(NotAuthenticated, match="expired"):
        door.by_session(token)
    clock.us -= times.HOUR
    with pytest.raises(NotAuthenticated, match="no such session"):
        door.by_session(token)


def test_logout_ends_one_session(door: Door, password: str) -> None:
    one, _ = door.login(ADMINISTRATOR, password, "127.0.0.1")
    two, _ = door.login(ADMINISTRATOR, password, "127.0.0.1")
    door.logout(one)
    with pytest.raises(NotAuthenticated):
        door.by_session(one)
    assert door.by_session(two).name == ADMINISTRATOR


@pytest.mark.parametrize("token", ["", "x", "x" * 200, "\udc80", "' OR 1=1 --"])
def test_made_up_tokens_are_refused(door: Door, token: str) -> None:
    for ask in (door.by_session, door.by_token):
        with pytest.raises(NotAuthenticated):
            ask(token)


def test_wrong_password_and_unknown_user_look_the_same(door: Door) -> None:
    with pytest.raises(WrongCredentials) as wrong:
        door.login(ADMINISTRATOR, "wrong", "127.0.0.1")
    with pytest.raises(WrongCredentials) as unknown:
        door.login("nobody", "wrong", "127.0.0.1")
    assert str(wrong.value) == str(unknown.value)


def test_guessing_is_slowed_down(door: Door, clock: Clock, password: str) -> None:
    """D-45, GD-4: after five failures even the right password waits; elsewhere the user can still log in."""
    for _ in range(5):
        with pytest.raises(WrongCredentials):
            door.login(ADMINISTRATOR, "wrong", "192.0.2.9")
    with pytest.raises(TooManyAttempts) as refused:
        door.login(ADMINISTRATOR, password, "192.0.2.9")
    assert 290 <= refused.value.retry_after <= 300
    assert door.login(ADMINISTRATOR, password, "192.0.2.10")
    clock.us += refused.value.retry_after * times.SECOND
    assert door.login(ADMINISTRATOR, password, "192.0.2.9")


def test_one_address_cannot_try_many_users() -> None:
    limiter = LoginLimiter(Limits(address=3), clock=lambda: 0.0)
    for name in "abc":
        limiter.attempt(name, "192.0.2.9")
    with pytest.raises(TooManyAttempts):
        limiter.attempt("d", "192.0.2.9")
    limiter.attempt("d", "192.0.2.10")


def test_many_addresses_cannot_try_one_user() -> None:
    limiter = LoginLimiter(Limits(user=3), clock=lambda: 0.0)
    for last in range(3):
        limiter.attempt("a", f"192.0.2.{last}")
    with pytest.raises(TooManyAttempts):
        limiter.attempt("a", "192.0.2.9")


def test_success_takes_its_own_attempt_back_only() -> None:
    limiter = LoginLimiter(Limits(address=3, pair=2), clock=lambda: 0.0)
    limiter.attempt("other", "192.0.2.9")
    for _ in range(5):
        limiter.attempt("a", "192.0.2.9")
        limiter.succeeded("a", "192.0.2.9")
    limiter.attempt("other", "192.0.2.9")
    limiter.attempt("a", "192.0.2.9")
    with pytest.raises(TooManyAttempts):
        limiter.attempt("a", "192.0.2.9")


def test_the_limiter_forgets_the_oldest() -> None:
    """Strangers cannot fill the memory with made-up names."""
    limiter = LoginLimiter(clock=lambda: 0.0)
    for number in range(30_000):
        limiter.attempt(f"user{number}", f"address{number}")
    assert len(limiter._failures) <= 20_000


def test_tokens_have_a_role_and_an_end(door: Door, clock: Clock) -> None:
    token = door.create_token("reports", Role.VIEWER, days=1)
    assert token.startswith(TOKEN_PREFIX)
    identity = door.by_token(token)
    assert (identity.name, identity.role, identity.machine) == ("reports", Role.VIEWER, True)
    with pytest.raises(Misconfigured, match="already"):
        door.create_token("reports", Role.VIEWER)
    clock.us += times.DAY
    with pytest.raises(NotAuthenticated, match="expired"):
        door.by_token(token)
    assert [found.name for found in door.tokens()] == ["reports"]
    door.revoke_token("reports")
    assert door.tokens() == []
    with pytest.raises(Misconfigured):
        door.revoke_token("reports")
    for name, days in (("", 1), ("Ä", 1), ("a", 0), ("a", 10_000)):
        with pytest.raises(ValueError, match="token"):
            door.create_token(name, Role.VIEWER, days)


def test_a_session_token_is_no_api_token(door: Door, password: str) -> None:
    session, _ = door.login(ADMINISTRATOR, password, "127.0.0.1")
    with pytest.raises(NotAuthenticated):
        door.by_token(session)
    with pytest.raises(NotAuthenticated):
        door.by_session(door.create_token("a", Role.VIEWER))


def test_resetting_a_password_ends_the_sessions(tmp_path: Path, door: Door, password: str) -> None:
    """From another process too: the command line opens the same store."""
    session, _ = door.login(ADMINISTRATOR, password, "127.0.0.1")
    fresh = reset_password(tmp_path)
    assert fresh != password
    with pytest.raises(NotAuthenticated):
        door.by_session(session)
    with pytest.raises(WrongCredentials):
        door.login(ADMINISTRATOR, password, "127.0.0.1")
    assert door.login(ADMINISTRATOR, fresh, "127.0.0.1")
    with pytest.raises(Misconfigured, match="no user"):
        reset_password(tmp_path, "nobody")


@pytest.mark.parametrize(
    "weak", ["short", "scada@2024", "scada@2024scada@2024", "aaaaaaaaaaaaaaaa", "maria-maria-maria", "x" * 2000, "Password12345678"]
)
def test_weak_passwords_are_refused(door: Door, weak: str) -> None:
    """GD-1: known defaults are refused."""
    with pytest.raises(WeakPassword) as caught:
        add_user(door.store, "maria", Role.VIEWER, weak)
    assert weak not in str(caught.value)


def test_users_come_and_go(door: Door) -> None:
    """G-47: a change of role counts from the next request on; one administrator always stays."""
    given = add_user(door.store, "maria", Role.OPERATOR, "correct horse battery")
    session, identity = door.login("maria", given, "127.0.0.1")
    assert identity.role is Role.OPERATOR
    set_role(door.store, "maria", Role.ENGINEER)
    assert door.by_session(session).role is Role.ENGINEER
    assert [(user.name, user.role) for user in users(door.store)] == [(ADMINISTRATOR, Role.ADMINISTRATOR), ("maria", Role.ENGINEER)]
    with pytest.raises(Misconfigured, match="already"):
        add_user(door.store, "maria", Role.VIEWER)
    with pytest.raises(ValueError, match="name"):
        add_user(door.store, "Mar ia", Role.VIEWER)
    assert set_password(door.store, "maria", "another good one 9") == "another good one 9"
    with pytest.raises(NotAuthenticated):
        door.by_session(session)
    session, _ = door.login("maria", "another good one 9", "127.0.0.1")
    remove_user(door.store, "maria")
    with pytest.raises(NotAuthenticated):
        door.by_session(session)
    with pytest.raises(Misconfigured, match="last administrator"):
        remove_user(door.store, ADMINISTRATOR)
    with pytest.raises(Misconfigured, match="last administrator"):
        set_role(door.store, ADMINISTRATOR, Role.VIEWER)
    assert len(users(door.store)) == 1


def test_nothing_secret_is_logged(door: Door, password: str, caplog: pytest.LogCaptureFixture) -> None:
    """A password typed into the name's field is not logged either."""
    caplog.set_level(logging.DEBUG)
    session, _ = door.login(ADMINISTRATOR, password, "127.0.0.1")
    for name, word in ((ADMINISTRATOR, "wrong-word-1"), ("typed-into-the-name", "wrong-word-2")):
        with pytest.raises(WrongCredentials):
            door.login(name, word, "127.0.0.1")
    logged = " ".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert "login failed" in logged
    for secret in (password, session, "wrong-word-1", "wrong-word-2", "typed-into-the-name"):
        assert secret not in logged


def test_a_damaged_store_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "security"
    folder.mkdir()
    (folder / "security.db").write_bytes(b"not a database" * 100)
    with pytest.raises(CorruptData, match="damaged"):
        Door(tmp_path)


def test_a_store_of_another_version_is_left_alone(tmp_path: Path, password: str) -> None:
    with sqlite3.connect(tmp_path / "security" / "security.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(Misconfigured, match="another version"):
        Door(tmp_path)


def test_a_directory_that_cannot_be_written_is_told() -> None:
    with pytest.raises(Misconfigured, match="cannot be opened"):
        Door(Path("/proc/here"))


def test_roles_include_those_below() -> None:
    """D-41, G-47."""
    assert Role.ADMINISTRATOR > Role.ENGINEER > Role.OPERATOR > Role.VIEWER
    assert Role.parse("Engineer") is Role.ENGINEER
    with pytest.raises(ValueError, match="viewer, operator, engineer, administrator"):
        Role.parse("root")
