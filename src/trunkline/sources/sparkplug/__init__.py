"""Sparkplug B (Eclipse Sparkplug 3.0.0): a host application that reads edge nodes and their devices over an MQTT broker."""

from importlib import import_module

from trunkline.sources.port import Source, SourceContext, SourcePlugin
from trunkline.sources.sparkplug.config import SparkplugConfig


def _create(config: SparkplugConfig, context: SourceContext) -> Source:
    # Every role reads the site file, and so this package; the MQTT library is for gateways that run such a source.
    source: Source = import_module("trunkline.sources.sparkplug.source").SparkplugSource(config, context)
    return source


PLUGIN = SourcePlugin("sparkplug", SparkplugConfig, _create, can_write=True, can_browse=True)
