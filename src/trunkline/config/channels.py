"""Ways to tell people: what each kind of channel can be told in the site file. `trunkline.sinks.notify` sends by them."""

from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from trunkline.config.addresses import is_loopback
from trunkline.config.secrets import references
from trunkline.config.tags import Identifier, Model


def _hidden(text: str) -> str:
    if not references(text):
        raise ValueError("whoever reads this file would know it: write '${secret:NAME}' or a placeholder such as '${PAGERDUTY_KEY}'")
    return text


def check_url(text: str) -> str:
    """Return an address that may be sent to: https, or http on this machine. Raises ValueError, which does not show it."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("this is no address: write 'https://host/path'") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError("this is no address: write 'https://host/path'")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address holds no password: use a secret reference for the whole address, or a token in it")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("plain http leaves this machine unencrypted: use 'https://'")
    return text


def _address(text: str) -> str:
    return text if references(text) else check_url(text)


#: Part of it, or all, is a reference (D-43).
Secret = Annotated[str, Field(min_length=1, max_length=2048), AfterValidator(_hidden)]
Url = Annotated[str, Field(min_length=1, max_length=2048), AfterValidator(_address)]
Mail = Annotated[str, Field(pattern=r"^[^@\s,;<>\"]+@[^@\s,;<>\"]+$", max_length=254, examples=["shift@example.com"])]
Phone = Annotated[str, Field(pattern=r"^\+?[0-9][0-9 -]{3,19}$", examples=["+4712345678"])]
Timeout = Annotated[float, Field(gt=0, le=300)]


class ChannelConfig(Model):
    """What every channel can be told."""

    id: Identifier = Field(description="name of the channel, unique within the site")
    timeout_seconds: Timeout = Field(10.0, description="longest wait for one answer before it is tried again")


class PagerDutyChannel(ChannelConfig):
    """Incidents at PagerDuty by Events API v2: raised, acknowledged and resolved with the alarm (W-88, W-141)."""

    type: Literal["pagerduty"] = Field("pagerduty", description="kind of channel")
    integration_key: Secret = Field(description="integration (routing) key of a service, as a reference", examples=["${PAGERDUTY_KEY}"])
    url: Url = Field("https://events.pagerduty.com/v2/enqueue", description="where events go; the EU region has an address of its own")


class SlackChannel(ChannelConfig):
    """Messages to Slack by an incoming webhook (W-142)."""

    type: Literal["slack"] = Field("slack", description="kind of channel")
    url: Secret = Field(description="address of the incoming webhook; it is a secret", examples=["${secret:slack-webhook}"])
    channel: str = Field("", max_length=80, description="channel, where the webhook lets the sender choose, for example '#alerts'")


class EmailChannel(ChannelConfig):
    """E-mail by a mail server, with TLS (W-143)."""

    type: Literal["email"] = Field("email", description="kind of channel")
    host: str = Field(min_length=1, max_length=253, description="mail server", examples=["smtp.example.com"])
    port: int = Field(587, ge=1, le=65535, description="port of the server; 465 is usual with 'security: tls'")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="how the connection is encrypted; 'none' only to a server on this machine"
    )
    ca: str = Field("", description="PEM file with the authority of the server's certificate; empty for those of the system")
    username: str = Field("", max_length=254, description="user at the server; empty for none")
    password: Secret | None = Field(None, description="of the user, as a reference")
    sender: Mail = Field(description="address that mails come from", examples=["trunkline@example.com"])
    recipients: tuple[Mail, ...] = Field((), description="who gets what is for nobody in particular")

    @model_validator(mode="after")
    def _encrypted(self) -> "EmailChannel":
        if self.security == "none" and not is_loopback(self.host):
            raise ValueError(f"mail to {self.host} would leave this machine unencrypted: use 'security: starttls' or 'tls'")
        if bool(self.username) != (self.password is not None):
            raise ValueError("'username' and 'password' belong together: give both or neither")
        if self.username and self.security == "none":
            raise ValueError("a password is not sent in plain text: use 'security: starttls' or 'tls'")
        return self


class WebhookChannel(ChannelConfig):
    """JSON by HTTP POST to a program of your own, signed with HMAC-SHA256."""

    type: Literal["webhook"] = Field("webhook", description="kind of channel")
    url: Url = Field(description="where requests go; redirects are not followed", examples=["https://hooks.example.com/alarms"])
    secret: Secret = Field(description="key of the signature, as a reference", examples=["${secret:webhook-key}"])
    ca: str = Field("", description="PEM file with the authority of the receiver's certificate; empty for those of the system")


class AppriseChannel(ChannelConfig):
    """SMS, voice and over a hundred other services, each by its Apprise address (W-141)."""

    type: Literal["sms", "voice", "apprise"] = Field("apprise", description="what the service does: 'sms' and 'voice' call phone numbers")
    url: Secret = Field(
        description="Apprise address of the service, as a reference; with 'sms' and 'voice' up to the number that is called",
        examples=["${secret:sms-provider}"],
    )
    phone_numbers: tuple[Phone, ...] = Field((), description="who is called for what is for nobody in particular")

    @model_validator(mode="after")
    def _numbers(self) -> "AppriseChannel":
        if self.type == "apprise" and self.phone_numbers:
            raise ValueError("'phone_numbers' are called by type 'sms' or 'voice': use one of them, or put the receiver into the address")
        return self


Channel = Annotated[
    PagerDutyChannel | SlackChannel | EmailChannel | WebhookChannel | AppriseChannel,
    Field(discriminator="type"),
]
#: Kinds of channels that need to know whom a message is for.
ADDRESSED: Final = {"email": "email", "sms": "phone", "voice": "phone"}
#: Kinds that hear that somebody acknowledged, and those that hear of the end: nobody is called at night because all is well.
HEARS_ACKNOWLEDGE: Final = frozenset({"pagerduty", "slack", "webhook"})
HEARS_RESOLVE: Final = frozenset({"pagerduty", "slack", "webhook", "email", "sms", "apprise"})
