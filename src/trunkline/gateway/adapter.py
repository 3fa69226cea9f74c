"""One source in a process of its own, under the adapter contract (W-45 to W-55).

The configuration is in CONFIG_JSON, base64 of JSON or plain JSON, or in a mounted file that CONFIG_FILE names, for documents larger than a
variable may be (D-6): `pipeline_id`, `adapter_id`, `source` (a source section as in the site file), and `output` with `data_dir` and the
log that takes the readings. /health, /metrics and JSON logs are served as for a gateway; SIGTERM stops in order. The adapter journals
before it acknowledges, like any gateway: it is a gateway of one source.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pydantic

from trunkline.config.secrets import SecretStore
from trunkline.config.site import BufferConfig, GatewayConfig, LinkConfig, LogConfig, Port
from trunkline.config.tags import Identifier, Model
from trunkline.gateway.role import Gateway
from trunkline.model.errors import Misconfigured
from trunkline.sources.port import plugin

VARIABLE: Final = "CONFIG_JSON"
FILE_VARIABLE: Final = "CONFIG_FILE"


class Output(Model):
    """Where the adapter writes."""

    data_dir: str
    log: LogConfig = LogConfig()
    buffer: BufferConfig = BufferConfig()
    link: LinkConfig = LinkConfig()


class AdapterConfig(Model):
    """The document in CONFIG_JSON."""

    pipeline_id: Identifier
    adapter_id: Identifier
    admin_port: Port = 8080
    source: dict[str, Any]
    output: Output


def read_config(environment: dict[str, str] | None = None) -> AdapterConfig:
    """Return the document that the environment holds or names. Raises Misconfigured saying what is wrong with it."""
    text = _document(os.environ if environment is None else environment)
    if not text.lstrip().startswith("{"):
        try:
            text = base64.b64decode("".join(text.split()), validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise Misconfigured(f"{VARIABLE} is neither JSON nor base64 of JSON: {error}") from error
    try:
        return AdapterConfig.model_validate(msgspec.json.decode(text))
    except msgspec.DecodeError as error:
        raise Misconfigured(f"{VARIABLE} is no JSON: {error}") from error
    except pydantic.ValidationError as error:
        raise Misconfigured(f"{VARIABLE}: {_words(error)}") from error


def _document(environment: Mapping[str, str]) -> str:
    text, file = environment.get(VARIABLE, ""), environment.get(FILE_VARIABLE, "")
    if text and file:
        raise Misconfigured(f"{VARIABLE} and {FILE_VARIABLE} are both set: give the adapter's configuration in one of them")
    if not text and not file:
        raise Misconfigured(
            f"{VARIABLE} is not set: give the adapter's configuration as JSON or base64 of JSON, or name it in {FILE_VARIABLE}"
        )
    try:
        return text or Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{FILE_VARIABLE}: {file} cannot be read: {error}") from error


def make_adapter(config: AdapterConfig) -> Gateway:
    """Return the gateway of one source that the document describes. Raises Misconfigured."""
    section = {"id": config.pipeline_id, **config.source}
    try:
        source = plugin(str(section.get("type", ""))).config.model_validate(section)
    except pydantic.ValidationError as error:
        raise Misconfigured(f"{VARIABLE}, source: {_words(error)}") from error
    data_dir = Path(config.output.data_dir)
    gateway = GatewayConfig(id=config.adapter_id, admin_port=config.admin_port, buffer=config.output.buffer, link=config.output.link)
    return Gateway(gateway, [source], config.output.log, data_dir, SecretStore(data_dir / "secrets", data_dir))


def _words(error: pydantic.ValidationError) -> str:
    """Return every complaint with its place, without the values: one of them may be a secret."""
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False, include_url=False))
