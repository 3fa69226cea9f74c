"""Who may ask the registry: pages of other sites never; everybody on this machine, or only who knows the credential."""

import base64
import binascii
import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from trunkline.registry import errors
from trunkline.registry.answers import refusal
from trunkline.registry.credential import Credential
from trunkline.security.origin import OriginRules


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
