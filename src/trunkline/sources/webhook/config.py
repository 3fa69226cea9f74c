"""Options of the webhook source."""

import ipaddress
from typing import Annotated, Literal

from pydantic import Field, model_validator

from trunkline.config.tags import Model, Seconds, SourceConfig, TagConfig
from trunkline.sources.decoding import TimeFormat
from trunkline.sources.jsonpath import JsonPath

Endpoint = Annotated[str, Field(pattern=r"^/[A-Za-z0-9_./~-]*$", max_length=256, examples=["/boiler"])]
SecretReference = Annotated[str, Field(pattern=r"^\$\{(secret|env|file):[^{}]+\}$", examples=["${secret:webhook-token}"])]


class TlsConfig(Model):
    """Encryption, TLS 1.2 or newer."""

    cert_file: str = Field(min_length=1, description="PEM file of the server's certificate with its chain")
    key_file: str = Field(min_length=1, description="PEM file of the certificate's key")
    key_password: SecretReference | None = Field(None, description="secret reference of the key's password")


class WebhookTagConfig(TagConfig):
    """One tag and where its values are found in what is posted."""

    endpoint: Endpoint = Field("/", description="path of the address that the tag's values are posted to")
    value: JsonPath = Field("$.value", description="JSONPath (RFC 9535) of the value; several found, or a list, are samples in order")
    timestamp: JsonPath | None = Field(None, description="JSONPath of the time of measurement, one for all samples or one for each")
    timestamp_format: TimeFormat = Field("iso8601", description="how the time is written; ISO 8601 needs a zone")
    quality: JsonPath | None = Field(None, description="JSONPath of GOOD, UNCERTAIN, BAD, OOR, SUSPECT or UNKNOWN; absent: GOOD")
    name: str = Field("", max_length=256, description="with 'tag_name': what documents call this tag; empty: the path")


class WebhookConfig(SourceConfig):
    """An address that JSON is posted to."""

    type: Literal["webhook"] = "webhook"
    stale_after: Seconds = Field(300.0, description="seconds of silence until a tag turns UNCERTAIN (stale)")
    lost_after: Seconds = Field(3600.0, description="seconds of silence until a tag turns BAD (communication lost)")
    host: str = Field("127.0.0.1", min_length=1, description="address to listen on; any but loopback needs a token, and TLS")
    port: int = Field(ge=1, le=65_535, description="port to listen on")
    token: SecretReference | None = Field(None, description="secret reference of the bearer token that every request must carry")
    tls: TlsConfig | None = Field(None, description="encryption; absent: plain HTTP")
    allow_token_without_tls: bool = Field(
        False, description="take the token without TLS from the network; for a proxy in front that ends TLS, else everyone can read it"
    )
    tag_name: JsonPath | None = Field(None, description="JSONPath of a tag's name, for documents about one tag each; absent: about all")
    max_body_bytes: int = Field(1_000_000, ge=100, le=16_000_000, description="larger requests are refused")
    max_waiting: int = Field(100, ge=1, le=10_000, description="requests that may wait to be stored; further ones are told to come later")
    timeout: float = Field(20.0, gt=0, le=300, description="longest wait in seconds for a request to arrive, and for it to be stored")
    idempotency_keys: int = Field(
        1_000, ge=0, le=10_000, description="how many of the last Idempotency-Keys are remembered, over restarts too; 0: none"
    )
    tags: tuple[WebhookTagConfig, ...] = Field((), description="what is posted")

    @model_validator(mode="after")
    def _secure(self) -> "WebhookConfig":
        if is_loopback(self.host):
            return self
        if self.token is None:
            raise ValueError(f"anyone could post to {self.host}: give a 'token', or listen on 127.0.0.1")
        if self.tls is None and not self.allow_token_without_tls:
            raise ValueError("the token would cross the network unencrypted: give 'tls', or 'allow_token_without_tls: true' behind a proxy")
        return self

    @model_validator(mode="after")
    def _named(self) -> "WebhookConfig":
        names: dict[tuple[str, str], str] = {}
        for tag in self.tags:
            if tag.name and self.tag_name is None:
                raise ValueError(f"tag {tag.path} has a 'name', which needs 'tag_name': say where documents name their tag")
            name = tag.name or tag.path
            other = names.setdefault((tag.endpoint, name), tag.path)
            if self.tag_name is not None and other != tag.path:
                raise ValueError(f"tags {other} and {tag.path} have the same name {name!r}: a document belongs to one of them")
        return self


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
