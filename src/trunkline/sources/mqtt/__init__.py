"""MQTT 3.1.1 and 5: subscribes to a broker, acknowledges what is stored."""

from importlib import import_module

from trunkline.sources.mqtt.config import MqttConfig
from trunkline.sources.port import Source, SourceContext, SourcePlugin


def _create(config: MqttConfig, context: SourceContext) -> Source:
    # Every role reads the site file, and so this package; the MQTT library is for gateways that run such a source.
    source: Source = import_module("trunkline.sources.mqtt.source").MqttSource(config, context)
    return source


PLUGIN = SourcePlugin("mqtt", MqttConfig, _create, can_write=True, can_browse=True)
