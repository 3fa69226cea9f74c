"""The role as a process: it serves, says why it cannot, and ends when told to."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.api.support import site_file, wait_for

from trunkline.api.serve import run_api
from trunkline.config.loading import load
from trunkline.model.errors import Misconfigured

_RUN = """\
import sys
from trunkline.api.serve import run_api
from trunkline.config.loading import load
run_api(load(sys.argv[1]), "host=/none")
"""


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_taken_port_is_explained(tmp_path: Path) -> None:
    with taken_port() as port:
        site = load(site_file(tmp_path, f"api: {{port: {port}}}\n"))
        with pytest.raises(Misconfigured, match=f"127.0.0.1:{port}.*api.port"):
            run_api(site, "host=/none")


def healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/api/v1/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """Without a historian too. SIGTERM ends it in order; what it leaves is whole: it starts again."""
    with taken_port() as port:
        pass
    file = site_file(tmp_path, f"api: {{port: {port}}}\n")
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", _RUN, str(file)], env=os.environ | {"PYTHONUNBUFFERED": "1"}) as process:
            try:
                wait_for(lambda: healthy(port), "it serves")
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) in {0, -signal.SIGTERM}
            finally:
                if process.poll() is None:
                    process.kill()
