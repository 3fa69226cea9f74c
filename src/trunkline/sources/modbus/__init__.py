"""Modbus TCP and RTU: polled registers and coils, with writes."""

from importlib import import_module

from trunkline.sources.modbus.config import ModbusConfig
from trunkline.sources.port import Source, SourceContext, SourcePlugin


def _create(config: ModbusConfig, context: SourceContext) -> Source:
    # Every role reads the site file, and so this package; the Modbus library is for gateways that run such a source.
    source: Source = import_module("trunkline.sources.modbus.source").ModbusSource(config, context)
    return source


PLUGIN = SourcePlugin(name="modbus", config=ModbusConfig, create=_create, can_write=True, can_browse=False)
