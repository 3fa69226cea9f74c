"""XBee radios: their payloads and inputs as virtual Modbus registers, with writes."""

from importlib import import_module

from trunkline.sources.port import Source, SourceContext, SourcePlugin
from trunkline.sources.xbee.config import XBeeConfig


def _create(config: XBeeConfig, context: SourceContext) -> Source:
    # Every role reads the site file, and so this package; the serial library is for gateways that run such a source.
    source: Source = import_module("trunkline.sources.xbee.source").XBeeSource(config, context)
    return source


PLUGIN = SourcePlugin(name="xbee", config=XBeeConfig, create=_create, can_write=True, can_browse=False)
