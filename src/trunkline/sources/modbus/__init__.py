"""Modbus TCP and RTU: polled registers and coils, with writes."""

from trunkline.sources.modbus.config import ModbusConfig
from trunkline.sources.modbus.source import ModbusSource
from trunkline.sources.port import SourcePlugin

PLUGIN = SourcePlugin(name="modbus", config=ModbusConfig, create=ModbusSource, can_write=True, can_browse=False)
