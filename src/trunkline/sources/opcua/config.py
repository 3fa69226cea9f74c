"""Everything an OPC UA source can be told."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from trunkline.config.tags import Deadband, Model, Path, Seconds, SourceConfig, TagConfig
from trunkline.model.events import AlarmSeverity
from trunkline.sources.opcua.addresses import NodeAddress

DEFAULT_PORT = 4840

_FINGERPRINT = re.compile(r"(?:sha256:)?(?:[0-9a-fA-F]{2}:?){32}")


def _check_endpoint(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "opc.tcp" or not parts.hostname:
        raise ValueError(f"{text!r} must look like opc.tcp://192.0.2.10:{DEFAULT_PORT} or opc.tcp://host:port/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the endpoint must not carry a user name or password: use 'username' and 'password'")
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError(f"the port of {text!r} must be a number from 1 to 65535") from error
    if port is not None:
        return text
    return parts._replace(netloc=f"{parts.netloc.rstrip(':')}:{DEFAULT_PORT}").geturl()


def _check_node(text: str) -> str:
    return str(NodeAddress.parse(text))


def _check_secret(text: str) -> str:
    if text and not re.fullmatch(r"\$\{(secret|env|file):[^}]+\}", text):
        raise ValueError("must be a secret reference such as ${secret:name}, ${env:NAME} or ${file:path}, never the secret itself")
    return text


def normalise_fingerprint(text: str) -> str | None:
    """Return a SHA-256 fingerprint as 64 lower-case hex digits, or None if the text is no fingerprint."""
    return text.removeprefix("sha256:").replace(":", "").lower() if _FINGERPRINT.fullmatch(text) else None


SecretReference = Annotated[str, AfterValidator(_check_secret)]
NodeText = Annotated[str, AfterValidator(_check_node)]
EventSeverity = Annotated[int, Field(ge=1, le=1000)]


class SecurityConfig(Model):
    """How the connection is secured (OPC UA Part 7, security policies)."""

    policy: Literal["None", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"] = Field(
        "None", description="security policy; the server must offer it"
    )
    mode: Literal["none", "sign", "sign_and_encrypt"] = Field("none", description="'none' only with policy None")
    certificate: str = Field(
        "", description="our own certificate (PEM or DER), a path; empty: one is generated in the source's folder and kept"
    )
    private_key: str = Field("", description="private key of 'certificate' (PEM or DER), a path")
    private_key_password: SecretReference = Field("", description="secret reference to the password of 'private_key'")
    trust: Literal["any"] | tuple[str, ...] = Field(
        (),
        description="server certificates to trust: 'sha256:…' fingerprints or paths of PEM or DER files; 'any' trusts whoever answers",
    )

    @model_validator(mode="after")
    def _fits(self) -> "SecurityConfig":
        if (self.policy == "None") != (self.mode == "none"):
            raise ValueError("policy None goes with mode 'none', every other policy with 'sign' or 'sign_and_encrypt'")
        if bool(self.certificate) != bool(self.private_key):
            raise ValueError("give both 'certificate' and 'private_key', or neither to have them generated")
        for entry in self.trust if isinstance(self.trust, tuple) else ():
            if entry.startswith("sha256:") and normalise_fingerprint(entry) is None:
                raise ValueError(f"the fingerprint {entry!r} must have 64 hexadecimal digits after 'sha256:'")
        return self


class OpcUaTag(TagConfig):
    """One variable of the server."""

    node: NodeText = Field(
        description="NodeId: nsu=<namespace URI>;s=<identifier>, or ns=<index>; i=, s=, g= and b= identifiers",
        examples=["nsu=http://plant.example/pumps;s=P101.Flow"],
    )
    element: int | None = Field(None, ge=0, description="index into the variable's array; empty for a scalar")
    server_deadband: Deadband | None = Field(
        None, description="deadband that the server applies before sending; percent is of the variable's EURange; only when subscribed"
    )


class EventAsset(Model):
    """The asset that events of one source on the server belong to; give its `name` or its `node`."""

    name: str = Field("", max_length=256, description="SourceName of the events", examples=["P101"])
    node: NodeText | None = Field(
        None, description="NodeId that the events have as SourceNode", examples=["nsu=http://plant.example/;s=P101"]
    )
    asset: Path = Field(description="asset path, for example PLANT01.AREA02.UNIT_05")

    @model_validator(mode="after")
    def _one(self) -> "EventAsset":
        if bool(self.name) == bool(self.node):
            raise ValueError("give either 'name' (SourceName) or 'node' (SourceNode)")
        return self


class NotifierConfig(Model):
    """Events, alarms and conditions of one notifier (OPC UA Part 3, 4.7; Part 9)."""

    notifier: NodeText = Field("i=2253", description="NodeId of an object that sends events; i=2253 is the Server object, which sends all")
    severity_from: EventSeverity = Field(
        1, description="events below this OPC UA severity are left out; the end of an alarm is told whatever its severity"
    )
    types: tuple[NodeText, ...] = Field((), description="NodeIds of event types to take, each with its subtypes; empty: all")
    asset: Path | None = Field(None, description="asset of events that neither a tag nor 'assets' places")
    assets: tuple[EventAsset, ...] = Field((), description="assets by the source of the event")
    queue_size: int = Field(1000, ge=1, le=100_000, description="events that the server keeps between two publishes")


class SeverityBands(Model):
    """Lowest OPC UA severity (1 to 1000) of each severity of an alarm; below 'medium' it is LOW."""

    medium: EventSeverity = Field(334, description="from here MEDIUM")
    high: EventSeverity = Field(667, description="from here HIGH")
    critical: EventSeverity = Field(900, description="from here CRITICAL")

    @model_validator(mode="after")
    def _ascending(self) -> "SeverityBands":
        if not self.medium < self.high < self.critical:
            raise ValueError(f"medium ({self.medium}) must be below high ({self.high}), and high below critical ({self.critical})")
        return self

    def severity(self, value: int) -> AlarmSeverity:
        """Return the severity of an alarm that the server gives this severity."""
        if value >= self.critical:
            return AlarmSeverity.CRITICAL
        if value >= self.high:
            return AlarmSeverity.HIGH
        return AlarmSeverity.MEDIUM if value >= self.medium else AlarmSeverity.LOW


class OpcUaConfig(SourceConfig):
    """A connection to one OPC UA server."""

    type: Literal["opcua"] = "opcua"
    endpoint: Annotated[str, AfterValidator(_check_endpoint)] = Field(
        description=f"address of the server; port {DEFAULT_PORT} if none is given", examples=["opc.tcp://192.0.2.10:4840"]
    )
    security: SecurityConfig = SecurityConfig()
    username: str = Field("", description="user name; empty logs in anonymously")
    password: SecretReference = Field("", description="secret reference to the password")
    allow_plain_password: bool = Field(
        False, description="send the password readable by anyone on the network if the server offers nothing better"
    )
    mode: Literal["subscribe", "poll"] = Field(
        "subscribe", description="'subscribe' falls back to polling when the server refuses subscriptions"
    )
    publishing_interval: Seconds = Field(0.5, description="how often the server sends what changed")
    sampling_interval: float = Field(0.1, ge=0, le=86_400, description="how often the server looks at a variable; 0: as fast as it can")
    queue_size: int = Field(100, ge=1, le=100_000, description="changes of one variable that the server keeps between two publishes")
    poll_interval: Seconds = Field(1.0, description="time between two scans when polling")
    timeout: Seconds = Field(5.0, description="longest wait for an answer")
    watchdog_interval: Seconds = Field(5.0, description="how often the server is asked whether it is alive")
    session_timeout: Seconds = Field(60.0, description="how long the server keeps a session it does not hear from")
    channel_lifetime: Seconds = Field(3600.0, description="how long the keys of the secure channel are used; renewed at three quarters")
    tags: tuple[OpcUaTag, ...] = ()
    events: tuple[NotifierConfig, ...] = Field((), description="notifiers whose events and alarms are taken; only when subscribed")
    severities: SeverityBands = SeverityBands()

    @model_validator(mode="after")
    def _user(self) -> "OpcUaConfig":
        if self.password and not self.username:
            raise ValueError("a password needs a 'username'")
        return self

    @model_validator(mode="after")
    def _notifiers(self) -> "OpcUaConfig":
        if self.events and self.mode == "poll":
            raise ValueError("'events' come by subscription only: set mode 'subscribe', or leave 'events' out")
        names = [one.notifier for one in self.events]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise ValueError(f"events[{number}].notifier: {name} is named twice: keep one entry, with the types of both")
        return self
