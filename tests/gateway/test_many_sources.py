"""Two hundred sources in one gateway: started one after the other, and none starves another."""

import asyncio
import statistics
from pathlib import Path

from trunkline.config.secrets import SecretStore
from trunkline.config.site import GatewayConfig, LogConfig
from trunkline.gateway.role import Gateway
from trunkline.gateway.turns import APART_SECONDS
from trunkline.model import times
from trunkline.sources.simulated.config import SimulatedConfig

SOURCES = 200


def section(number: int, interval_ms: int) -> SimulatedConfig:
    tag = {"path": f"P.A.U{number}.T", "time": "gateway"}
    return SimulatedConfig.model_validate({"id": f"s{number}", "type": "simulated", "interval_ms": interval_ms, "tags": [tag]})


async def test_two_hundred_sources_share_a_gateway(tmp_path: Path) -> None:
    """W-35, W-36: starts are spread, every source is read at its own pace, also beside one that reads as fast as it can."""
    sources = [section(0, 1), *(section(number, 250) for number in range(1, SOURCES))]
    gateway = Gateway(GatewayConfig(id="gw1"), sources, LogConfig(partitions=2), tmp_path, SecretStore(tmp_path, tmp_path))
    stop = asyncio.Event()
    running = asyncio.create_task(gateway.run(stop))
    started: list[dict[str, int]] = []
    async with asyncio.timeout(60):
        while any(runner.state != "connected" for runner in gateway.runners):
            started.append(gateway.health()["sources"])
            await asyncio.sleep(0.05)
        connected = [runner.since for runner in gateway.runners]
        before = [runner.readings_total for runner in gateway.runners]
        while min(runner.readings_total - count for runner, count in zip(gateway.runners, before, strict=True)) < 8:
            await asyncio.sleep(0.05)
    counts = [runner.readings_total - count for runner, count in zip(gateway.runners, before, strict=True)]
    stop.set()
    await running
    assert connected == sorted(connected)
    assert connected[-1] - connected[0] >= (SOURCES - 1) * APART_SECONDS * times.SECOND / 2  # the least that jitter leaves
    assert any(0 < told["waiting"] < SOURCES and told["connected"] and told["of"] == SOURCES for told in started), "no progress was told"
    others = counts[1:]
    assert max(others) <= min(others) + 4, "some sources are read far more often than others of the same pace"
    assert statistics.median(others) >= 8
    assert counts[0] > max(others)
