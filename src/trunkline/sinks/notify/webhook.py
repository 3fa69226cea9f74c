"""A program of your own, by HTTP POST: the request as JSON, signed.

`X-Trunkline-Signature` is `sha256=` and the HMAC-SHA256 (RFC 2104), in hex, of the timestamp header, a dot and the body, with the shared
key. The timestamp is there against replays: a receiver refuses one that is old. `Idempotency-Key` is the same when the same is sent twice.
"""

import hashlib
import hmac

import msgspec

from trunkline.config.channels import WebhookChannel
from trunkline.config.secrets import SecretStore
from trunkline.model import times
from trunkline.model.notifications import NotificationRequest
from trunkline.sinks.notify.http import Poster
from trunkline.sinks.notify.port import Site


class WebhookSender:
    """Posts requests to one address. Raises SecretUnavailable, Misconfigured."""

    def __init__(self, config: WebhookChannel, site: Site, secrets: SecretStore) -> None:
        self._site = site
        self._key = secrets.resolve(config.secret).encode()
        ca = secrets.base / config.ca if config.ca else None
        self._poster = Poster(secrets.resolve(config.url), f"channel {config.id}", config.timeout_seconds, ca)

    def send(self, request: NotificationRequest, now: int) -> str:
        """Post one request; see the port."""
        body = body_of(request, self._site)
        stamp = str(now // times.SECOND)
        headers = {
            "Idempotency-Key": request.id,
            "X-Trunkline-Timestamp": stamp,
            "X-Trunkline-Signature": signature(self._key, stamp, body),
        }
        return self._poster.post(body, headers, now)


def body_of(request: NotificationRequest, site: Site) -> bytes:
    """Return the body: the request's fields, severities by name and times as ISO 8601."""
    fields = msgspec.structs.asdict(request)
    fields |= {"site": site.name, "severity": request.severity.name, "time": times.to_iso(request.time)}
    fields["not_after"] = None if request.not_after is None else times.to_iso(request.not_after)
    fields["items"] = [
        {"occurrence": one.occurrence, "severity": one.severity.name, "time": times.to_iso(one.time), "text": one.text}
        for one in request.items
    ]
    return msgspec.json.encode(fields)


def signature(key: bytes, stamp: str, body: bytes) -> str:
    """Return the signature header of a body that is sent at `stamp`, seconds UTC."""
    return "sha256=" + hmac.new(key, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
