"""A gateway's memory is small because it loads no more than it runs (bench/gateway_scale.py measures what that comes to)."""

import subprocess
import sys

#: As `trunkline run gateway` does it, for a site that writes blocks to an embedded log.
SCRIPT = """
import sys
import trunkline.cli.run, trunkline.gateway.role, trunkline.gateway.adapter
from trunkline.log.codec.forms import Forms
from trunkline.log.opening import open_edge_journal, open_site_log
from trunkline.sources.port import plugin
plugin("simulated"), plugin("modbus")
Forms().telemetry([])
Forms().event(b"")
needless = {"pyarrow", "pyruhvro", "psycopg", "confluent_kafka", "sqlalchemy", "fastapi"}
print(sorted(needless & {name.partition(".")[0] for name in sys.modules}))
"""


def test_a_gateway_loads_neither_arrow_nor_clients_of_databases_and_brokers() -> None:
    """W-57, D-52: Arrow alone takes 41 MB, a third of what a gateway with an empty buffer may have."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]"
