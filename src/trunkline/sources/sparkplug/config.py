"""Options of the Sparkplug B source."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from trunkline.config.tags import TagConfig
from trunkline.sources.broker.config import BrokerConfig, Session
from trunkline.sources.sparkplug.topics import check_id

SparkplugId = Annotated[str, AfterValidator(check_id)]
#: Deaths are published at QoS 1, everything else of an edge node at QoS 0. The session begins and ends with the connection
#: ([tck-id-message-flow-phid-sparkplug-clean-session-50]), so nothing that is retained or kept is wanted.
SESSION = Session(qos=1, retained=False)


class SparkplugTagConfig(TagConfig):
    """One tag and the metric that feeds it."""

    node: SparkplugId = Field(description="edge node that reports the metric", examples=["edge-07"])
    device: SparkplugId | None = Field(None, description="device of the edge node; absent: a metric of the edge node itself")
    metric: str = Field(min_length=1, max_length=4096, description="name of the metric as the birth has it", examples=["Inputs/Flow"])
    writable: bool = Field(False, description="whether commands may write the metric")


class SparkplugConfig(BrokerConfig):
    """The edge nodes of a Sparkplug B group, over an MQTT broker."""

    type: Literal["sparkplug"] = "sparkplug"
    keepalive: int = Field(
        5, ge=1, le=3600, description="seconds until a silent broker is asked, and again until it counts as lost; below `stale_after`"
    )
    timeout: float = Field(
        10.0, gt=0, le=300, description="longest wait in seconds for a connection, a birth that was asked for, or a write's confirmation"
    )
    max_in_flight: int = Field(
        10_000, ge=1, le=65_535, description="most messages held that are not yet read; beyond it the broker has to wait, or to drop"
    )
    group: SparkplugId = Field(description="Sparkplug group of the edge nodes")
    nodes: tuple[SparkplugId, ...] = Field((), description="edge nodes to listen to; empty: every edge node of the group")
    host_id: SparkplugId | None = Field(
        None,
        description="id as a Sparkplug host application, unique at the broker; absent: made of the gateway's and the source's id",
    )
    primary: bool = Field(True, description="publish on STATE whether the gateway is online, so that edge nodes can wait for it")
    tags: tuple[SparkplugTagConfig, ...] = Field((), description="what is read")

    @model_validator(mode="after")
    def _heard_in_time(self) -> "SparkplugConfig":
        if self.keepalive >= self.stale_after:
            raise ValueError(
                f"keepalive ({self.keepalive} s) must be below stale_after ({self.stale_after:g} s): between the two, tags that do not "
                "change would turn stale although the broker is there"
            )
        return self

    @model_validator(mode="after")
    def _listened_to(self) -> "SparkplugConfig":
        for tag in self.tags if self.nodes else ():
            if tag.node not in self.nodes:
                raise ValueError(f"tag {tag.path}: edge node {tag.node!r} is not among 'nodes': add it, or leave 'nodes' out")
        return self
