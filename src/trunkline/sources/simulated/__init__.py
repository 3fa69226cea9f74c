"""Signals made by arithmetic, for learning and tests."""

from trunkline.sources.port import SourcePlugin
from trunkline.sources.simulated.config import SimulatedConfig
from trunkline.sources.simulated.source import SimulatedSource

PLUGIN = SourcePlugin("simulated", SimulatedConfig, SimulatedSource, can_write=True)
