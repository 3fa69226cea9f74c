"""The schema registry: our own, or the one that is asked instead."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from trunkline.config.tags import Model

Compatibility = Literal["NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"]


def _address(url: str) -> str:
    if url:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url!r} is no address of a registry: write 'http://host:port' or 'https://host:port'")
        if parts.username or parts.password:
            raise ValueError("the address holds a user name or password: use 'username' and 'password'")
    return url.rstrip("/")


class RegistryConfig(Model):
    """Where the meaning of schema ids is kept. Readings of our own need none: their ids are built in."""

    url: Annotated[str, AfterValidator(_address)] = Field(
        "", description="registry with Confluent's REST API to ask for unknown ids; empty: our own, on host and port below"
    )
    username: str = Field("", description="user name for the registry; empty: the generated one of our own")
    password: str = Field("", description="its password: a secret reference such as ${secret:schema-registry-password}")
    ca: str = Field(
        "", description="PEM file with the authorities that the registry's certificate must come from; empty: those of the system"
    )
    host: str = Field("127.0.0.1", description="our own: address to listen on; beyond loopback it needs authentication and a certificate")
    port: int = Field(8081, ge=0, le=65535, description="our own: port to listen on")
    allowed_hosts: tuple[str, ...] = Field((), description="our own: further names under which it may be asked, of a proxy for example")
    dsn: str = Field("", description="our own: PostgreSQL connection string or secret reference; empty: a file under the data directory")
    compatibility: Compatibility = Field(
        "FULL_TRANSITIVE", description="our own: what new versions must keep where nothing else is set (D-12)"
    )
    authentication: Literal["none", "basic"] = Field("none", description="our own: 'basic' demands the generated user name and password")
    certificate: str = Field("", description="our own: PEM file with its certificate, for TLS")
    key: str = Field("", description="our own: PEM file with the certificate's key")

    @model_validator(mode="after")
    def _whole(self) -> "RegistryConfig":
        for one, other in (("username", "password"), ("certificate", "key")):
            if bool(getattr(self, one)) != bool(getattr(self, other)):
                have, lack = (one, other) if getattr(self, one) else (other, one)
                raise ValueError(f"'{have}' is given without '{lack}': add {lack!r}, or remove both")
        return self
