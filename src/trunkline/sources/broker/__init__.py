"""A connection to an MQTT broker: what every source that stands on MQTT shares. No plugin itself."""
