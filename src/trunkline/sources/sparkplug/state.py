"""The host application's own birth and death: STATE messages (Eclipse Sparkplug 3.0.0, 4.2.3 and 5.3)."""

import msgspec

from trunkline.sources.sparkplug.topics import state


class HostState:
    """What one connection says of the host. A new connection makes a new one: its time tells old from new.

    Attributes:
        topic: where it is published, at QoS 1 and retained.
        online: birth certificate.
        offline: death certificate, given to the broker as the will. [tck-id-host-topic-phid-birth-payload-timestamp]: the birth's timestamp
            is 'the same value set in the immediately prior MQTT CONNECT packet's Will Message payload'.
    """

    def __init__(self, host: str, timestamp: int) -> None:
        """Make both certificates; `timestamp` is the present time in ms UTC."""
        self.topic = state(host)
        self.online = msgspec.json.encode({"online": True, "timestamp": timestamp})
        self.offline = msgspec.json.encode({"online": False, "timestamp": timestamp})


def says_offline(payload: bytes) -> bool:
    """Return whether a STATE message says that its host is away."""
    try:
        document = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return isinstance(document, dict) and document.get("online") is False
