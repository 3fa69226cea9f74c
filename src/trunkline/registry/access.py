"""Who may ask the registry: pages of other sites never; everybody on this machine, or only who knows the credential."""

import base64
import binascii
import hmac
import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from trunkline.model.errors import Misconfigured
from trunkline.registry import errors
from trunkline.registry.answers import refusal
from trunkline.security.origin import OriginRules

_USER: Final = "trunkline"
_SECRET_BYTES: Final = 32


class Credential(NamedTuple):
    """User name and password of basic authentication."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credential(username={self.username!r})"


def credential_in(file: Path) -> Credential:
    """Return the credential in a file, one line `user:password`; a missing file is made with a password of 256 random bits.

    Raises:
        Misconfigured: the file cannot be made, is readable by others, or holds something else.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _create(file)
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise Misconfigured(f"the registry's credential {file} can be read by others: chmod 600 {file}")
        username, colon, password = file.read_text().strip().partition(":")
    except OSError as error:
        raise Misconfigured(f"the registry's credential {file} cannot be read or made: {error}") from error
    if not (username and colon and password):
        raise Misconfigured(f"the registry's credential {file} is not one line 'user:password': mend it, or delete it to have it made anew")
    return Credential(username, password)


def _create(file: Path) -> None:
    """Make the file whole or not at all, once, whoever else is about to."""
    if file.exists():
        return
    descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # readable by its owner only
    try:
        with os.fdopen(descriptor, "w") as out:
            out.write(f"{_USER}:{secrets.token_urlsafe(_SECRET_BYTES)}\n")
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        Path(draft).unlink()


class Guard:
    """Middleware that looks at a request before anything else does.

    Args:
        app: what comes after.
        rules: names under which this server may be asked, so that no page of another site can make a browser ask it.
        credential: what a client has to present; None lets everybody in.
    """

    def __init__(self, app: ASGIApp, rules: OriginRules, credential: Credential | None) -> None:
        self._app = app
        self._rules = rules
        self._expected = None if credential is None else f"{credential.username}:{credential.password}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through or refuse it."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host = headers.get("host")
            if not self._rules.host_allowed(host) or not self._rules.origin_allowed(headers.get("origin"), host):
                await refusal(errors.FOREIGN_REQUEST, "this server is not asked under that name, or by that page")(scope, receive, send)
                return
            if not self._knows(headers.get("authorization")):
                answer = refusal(errors.UNAUTHENTICATED, "Unauthorized: send the registry's user name and password")
                answer.headers["WWW-Authenticate"] = 'Basic realm="schema registry"'
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _knows(self, header: str | None) -> bool:
        if self._expected is None:
            return True
        scheme, _, encoded = (header or "").partition(" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True) if scheme.lower() == "basic" else b""
        except (binascii.Error, ValueError):
            given = b""
        return hmac.compare_digest(given, self._expected)
