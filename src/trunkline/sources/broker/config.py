"""Options of a connection to an MQTT broker."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from trunkline.config.tags import Model, SourceConfig

SecretReference = Annotated[str, Field(pattern=r"^\$\{(secret|env|file):[^{}]+\}$", examples=["${secret:broker-password}"])]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Session(NamedTuple):
    """What a connection asks of the broker, beside how to reach it.

    Attributes:
        qos: quality of service of its subscriptions, 0 to 2.
        retained: whether the messages that the broker retains are sent for new subscriptions.
        expiry: seconds for which the broker keeps the session of a client that is away; 0: it begins and ends with the connection.
    """

    qos: int
    retained: bool
    expiry: float = 0

    @property
    def persistent(self) -> bool:
        """Whether the session outlives the connection."""
        return self.expiry > 0


class TlsConfig(Model):
    """Encryption. The broker's certificate and name are always checked."""

    ca_file: str = Field("", description="PEM file of the authorities to trust; empty: those of the system")
    cert_file: str = Field("", description="PEM file of the client certificate with its chain")
    key_file: str = Field("", description="PEM file of the client certificate's key")
    key_password: SecretReference | None = Field(None, description="secret reference of the key's password")

    @model_validator(mode="after")
    def _pair(self) -> "TlsConfig":
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("'cert_file' and 'key_file' belong together: give both or none")
        return self


class BrokerConfig(SourceConfig):
    """A source that reads from an MQTT broker."""

    host: str = Field(min_length=1, description="name or address of the broker; with TLS it must be in the broker's certificate")
    port: int = Field(1883, ge=1, le=65_535, description="8883 is usual with TLS")
    protocol: Literal["5", "3.1.1"] = Field("5", description="version of MQTT to speak")
    tls: TlsConfig | None = Field(None, description="encryption; absent: plain TCP")
    username: str = Field("", max_length=1024, description="name at the broker, or a secret reference")
    password: SecretReference | None = Field(None, description="secret reference of the password")
    allow_password_without_tls: bool = Field(
        False, description="send the password without TLS over the network; everyone on the way can read it"
    )
    client_id: str = Field("", max_length=256, description="identity of the session; empty: made of the gateway's and the source's id")
    keepalive: int = Field(15, ge=1, le=3600, description="seconds until a silent broker is asked, and again until it counts as lost")
    timeout: float = Field(10.0, gt=0, le=300, description="longest wait in seconds for a connection, an answer or a delivered write")
    max_in_flight: int = Field(1000, ge=1, le=65_535, description="most messages held that are not yet acknowledged (receive maximum)")

    @model_validator(mode="after")
    def _secure(self) -> "BrokerConfig":
        if self.password and not self.username:
            raise ValueError("a 'password' needs a 'username'")
        if self.password and not self.tls and not self.allow_password_without_tls and self.host not in LOOPBACK:
            raise ValueError(
                "the password would cross the network unencrypted: add 'tls', or 'allow_password_without_tls: true' if that is meant"
            )
        return self
