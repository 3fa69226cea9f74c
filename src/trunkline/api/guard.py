"""What every request passes before it reaches a route: Host and Origin rules, a limit on bodies, headers on the way out."""

import time
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trunkline.api.metrics import Metrics
from trunkline.api.problem import Problem
from trunkline.security.origin import OriginRules

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_BODY_BYTES: Final = 64 * 1024

#: The page's component library sets styles from scripts; everything else comes from this server, and nothing from elsewhere.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, rules: OriginRules, metrics: Metrics) -> None:
        self._app = app
        self._rules = rules
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket" and self._refusal(scope, browser_only=True) is not None:
            await send({"type": "websocket.close", "code": 1008, "reason": "host or origin is not allowed"})
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope, *, browser_only: bool) -> Problem | None:
        headers = Headers(scope=scope)
        host = headers.get("host")
        if not self._rules.host_allowed(host):
            mend = "Use 'localhost' or the address in the site file, or add the name to 'api.allowed_hosts' there."
            return Problem(403, "HOST_NOT_ALLOWED", "Unknown host name", "This server is not known under the name asked for.", mend)
        if browser_only and not self._rules.origin_allowed(headers.get("origin"), host):
            return Problem(
                403, "ORIGIN_NOT_ALLOWED", "Foreign page", "A page of another site sent this request.", "Use this server's own page."
            )
        return None

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        status = 500

        async def outward(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS:
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            refusal = self._refusal(scope, browser_only=scope["method"] not in SAFE_METHODS)
            if refusal is not None:
                await refusal.response()(scope, receive, outward)
            else:
                await self._limited(scope, receive, outward)
        finally:
            route = getattr(scope.get("route"), "path", "(none)")
            self._metrics.request(scope["method"], route, status, time.perf_counter() - started)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, but stop reading a body that is larger than any of ours."""
        taken = 0

        async def inward() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MAX_BODY_BYTES:
                raise HTTPException(413, f"The body has more than {MAX_BODY_BYTES:,} bytes.")
            return message

        await self._app(scope, inward, send)
