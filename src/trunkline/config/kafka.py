"""How Apache Kafka is reached when it is the site log: encrypted and with a principal, or openly insecure on loopback."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from trunkline.config.addresses import is_loopback
from trunkline.config.tags import Model

_ADDRESS = re.compile(
    r"\[(?P<six>[0-9A-Fa-f:.]+)\]:(?P<port6>\d{1,5})|(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?):(?P<port>\d{1,5})"
)

Profile = Literal["development", "production"]


def addresses(bootstrap: str) -> list[tuple[str, int]]:
    """Return the hosts and ports of a list 'host:port,host:port'.

    Raises:
        ValueError: names the part that is no address and how one looks.
    """
    found = []
    for part in bootstrap.split(","):
        match = _ADDRESS.fullmatch(part.strip())
        port = int(match["port"] or match["port6"]) if match else 0
        if match is None or not 0 < port <= 65535:
            raise ValueError(
                f"{part.strip()!r} is no broker address: write 'host:port', several with commas, for example 'kafka-1:9092,kafka-2:9092'"
            )
        found.append((match["host"] or match["six"], port))
    return found


def _checked(bootstrap: str) -> str:
    return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in addresses(bootstrap)) if bootstrap else ""


Bootstrap = Annotated[str, AfterValidator(_checked)]


class KafkaSecurity(Model):
    """TLS, and who this site is to the brokers."""

    username: str = Field("", description="principal of SASL; every gateway and service has its own")
    password: str = Field("", description="its password: a secret reference such as ${secret:kafka-gateway-g1}")
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256"] = Field("SCRAM-SHA-512", description="SASL mechanism")
    ca: str = Field("", description="PEM file with the authorities that brokers' certificates must come from; empty: those of the system")
    certificate: str = Field("", description="PEM file with a client certificate, for brokers that ask for one")
    key: str = Field("", description="PEM file with its key; may be the same file")

    @model_validator(mode="after")
    def _whole(self) -> "KafkaSecurity":
        if bool(self.username) != bool(self.password):
            have, lack = ("username", "password") if self.username else ("password", "username")
            raise ValueError(f"'{have}' is given without '{lack}': add {lack!r}, or remove both to log in by certificate")
        if bool(self.certificate) != bool(self.key):
            have, lack = ("certificate", "key") if self.certificate else ("key", "certificate")
            raise ValueError(f"'{have}' is given without '{lack}': add {lack!r}; a file that holds both may be named twice")
        if not self.username and not self.certificate:
            raise ValueError("nothing here says who this site is to the brokers: add 'username' and 'password', or 'certificate' and 'key'")
        return self

    @property
    def principal(self) -> str:
        """Who the brokers see, as access lists name it."""
        return f"User:{self.username}" if self.username else f"the subject of {self.certificate}"


def check_connection(bootstrap: str, security: KafkaSecurity | None, *, insecure: bool) -> None:
    """Refuse a connection that is neither secured nor openly insecure on this machine alone.

    Raises:
        ValueError: says what is missing and how to mend it.
    """
    if not bootstrap:
        raise ValueError("engine 'kafka' has no brokers: add 'bootstrap' with host:port of one or more")
    if security is not None and insecure:
        raise ValueError("'security' and 'insecure: true' exclude each other: use one of them")
    if security is not None:
        return
    if not insecure:
        raise ValueError("the connection to Kafka is not secured: add a 'security' section, or 'insecure' for brokers on this machine only")
    if strange := [host for host, _ in addresses(bootstrap) if not is_loopback(host)]:
        raise ValueError(
            f"'insecure: true' would send everything in plain text to {strange[0]}: add a 'security' section; only loopback goes without"
        )
