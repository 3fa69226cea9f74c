"""A broker's data folder, formatted: Kafka's own tool writes the first metadata, the identities in it are ours.

The tool costs a second of Java for a file that depends on Kafka's version and on the first users only, so that what it wrote is kept and
given to every broker with the same users.
"""

import base64
import os
import re
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trunkline.lab.kafka.installation import Jars
from trunkline.lab.kafka.security import Scram
from trunkline.model.errors import Misconfigured, TrunklineError

TOOL_FLAGS: Final = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
CHECKPOINT: Final = "bootstrap.checkpoint"

_PLAIN: Final = re.compile(r"[^\s,=\[\]\"\\;@]+")


def new_id() -> str:
    """Return a random identity as Kafka writes them: 16 bytes in 22 characters, none of them a leading dash."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def first_metadata(jars: Jars, users: Sequence[Scram] = ()) -> bytes:
    """Let Kafka's storage tool write the metadata that a new cluster starts with, SCRAM-SHA-512 credentials of `users` included.

    Raises:
        Misconfigured: a user's name or password has a character that the tool cannot take.
        TrunklineError: the tool failed; the text ends with what it said.
    """
    with tempfile.TemporaryDirectory(prefix="trunkline-kafka-") as scratch:
        folder = Path(scratch)
        config = folder / "server.properties"
        config.write_text(
            "process.roles=broker,controller\nnode.id=1\nlisteners=PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2\n"
            "controller.listener.names=CONTROLLER\ncontroller.quorum.voters=1@127.0.0.1:2\n"
            f"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={folder / 'data'}\n"
        )
        # in a file, not on the command line: everybody on the machine can read command lines
        arguments = folder / "arguments"
        arguments.touch(0o600)
        lines = ["format", "--cluster-id", new_id(), "--config", str(config)]
        for user in users:
            lines += ["--add-scram", _scram_argument(user)]
        arguments.write_text("\n".join(lines) + "\n")
        command = jars.command("kafka.tools.StorageTool", [f"@{arguments}"], TOOL_FLAGS)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise TrunklineError(f"Kafka's storage tool failed: {(done.stdout + done.stderr)[-1000:]}")
        return (folder / "data" / CHECKPOINT).read_bytes()


def lay_out(data: Path, metadata: bytes, cluster_id: str, node_id: int) -> None:
    """Make `data` the formatted folder of one node."""
    data.mkdir(parents=True, mode=0o700)
    (data / CHECKPOINT).write_bytes(metadata)
    (data / "meta.properties").write_text(f"version=1\ncluster.id={cluster_id}\nnode.id={node_id}\ndirectory.id={new_id()}\n")


def kept_metadata(jars: Jars, cache: Path) -> bytes:
    """Return the first metadata of a cluster without users, made once for these jars."""
    file = cache / f"{jars.fingerprint}.{CHECKPOINT}"
    if not file.exists():
        fresh = file.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(first_metadata(jars))
        fresh.replace(file)  # in one step: another process may be making the same
    return file.read_bytes()


def _scram_argument(user: Scram) -> str:
    for text in (user.username, user.password):
        if not _PLAIN.fullmatch(text):
            raise Misconfigured(f'user {user.username!r}: names and passwords of brokers must not have spaces or any of , = [ ] " \\ ; @')
    return f"SCRAM-SHA-512=[name={user.username},password={user.password}]"
