"""OPC UA client source: subscriptions or polling, with security, browsing and writing (W-42)."""

from importlib import import_module

from trunkline.sources.opcua.config import OpcUaConfig
from trunkline.sources.port import Source, SourceContext, SourcePlugin


def _create(config: OpcUaConfig, context: SourceContext) -> Source:
    # The OPC UA library takes tens of megabytes and most of a second: only a gateway that runs such a source pays for it.
    source: Source = import_module("trunkline.sources.opcua.source").OpcUaSource(config, context)
    return source


PLUGIN = SourcePlugin(name="opcua", config=OpcUaConfig, create=_create, can_write=True, can_browse=True)
