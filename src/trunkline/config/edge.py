"""A gateway's own Kafka, and the central cluster to which MirrorMaker 2 takes everything (W-96 to W-99)."""

from typing import Annotated, Final

from pydantic import Field, model_validator

from trunkline.config.addresses import is_loopback
from trunkline.config.kafka import Bootstrap, KafkaSecurity, Profile, addresses, check_connection
from trunkline.config.tags import Model

#: Less than this cannot be shared out over the partitions of a layout: Kafka deletes segments, and none is smaller than 1 MiB.
LEAST_DISK_BYTES: Final = 1_000_000_000


class CentralKafka(Model):
    """The cluster that receives everything."""

    bootstrap: Bootstrap = Field(description="addresses of its brokers, host:port with commas between")
    profile: Profile = Field("production", description="'production' keeps three copies of MirrorMaker's books, 'development' one")
    security: KafkaSecurity | None = Field(None, description="TLS and the principal, user mirror-SITE; required unless insecure")
    insecure: bool = Field(False, description="plain text without a principal, for brokers on this machine only")

    @model_validator(mode="after")
    def _connection(self) -> "CentralKafka":
        check_connection(self.bootstrap, self.security, insecure=self.insecure)
        return self


class EdgeKafka(Model):
    """What `trunkline kafka edge` makes: one broker beside the gateways, and MirrorMaker 2."""

    central: CentralKafka
    controller_port: Annotated[int, Field(gt=0, le=65535)] = Field(9093, description="loopback port of the broker's controller")
    disk_bytes: int = Field(
        107_374_182_400,
        ge=LEAST_DISK_BYTES,
        description="disk of the edge broker; beyond it Kafka deletes the oldest segments, of alarms never (W-97, W-102)",
    )
    exactly_once: bool = Field(
        True, description="a record and its position are one transaction at the centre; false repeats up to 10 s of records after a restart"
    )
    flush_ms: int = Field(
        1000, ge=0, description="longest time that acknowledged records lie in memory only, not on the disk; 0 flushes every append (D-2)"
    )


def check_edge(edge: EdgeKafka, bootstrap: str, profile: Profile, *, insecure: bool) -> None:
    """Refuse an edge broker that is not one broker on this machine.

    Raises:
        ValueError: says what is wrong and how to mend it.
    """
    where = addresses(bootstrap)
    if len(where) != 1 or not is_loopback(where[0][0]) or not insecure:
        raise ValueError(
            "with 'edge' the site log is one broker on this machine, in plain text on loopback: write 'bootstrap: 127.0.0.1:9092' and "
            "'insecure: true'; the login to the centre belongs into 'edge.central.security'"
        )
    if profile != "development":
        raise ValueError("an edge has one broker and so one copy of each record: write 'profile: development' beside 'edge'")
    if edge.controller_port == where[0][1]:
        raise ValueError(f"broker and controller cannot both listen on port {where[0][1]}: give 'edge' another 'controller_port'")
    if where[0] in addresses(edge.central.bootstrap):
        raise ValueError(f"'edge.central.bootstrap' names the edge's own broker {bootstrap}: name the brokers of the centre")
