"""MQTT 3.1.1 and 5: subscribes to a broker, acknowledges what is stored."""

from trunkline.sources.mqtt.config import MqttConfig
from trunkline.sources.mqtt.source import MqttSource
from trunkline.sources.port import SourcePlugin

PLUGIN = SourcePlugin("mqtt", MqttConfig, MqttSource, can_write=True, can_browse=True)
