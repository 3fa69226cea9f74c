"""Docker or Podman by way of its command-line client, and what the client's complaints mean."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import Final, NamedTuple

from trunkline.model.errors import SourceUnavailable

#: Longest wait, in seconds, for an answer of the engine; a container itself may run as long as it likes.
ANSWER_SECONDS: Final = 20.0


class Complaint(NamedTuple):
    """What a client says when something is missing.

    Attributes:
        pattern: as the clients of both word it; a group is what is missing.
        text: what it means and what is to be done. Fields: `engine`, `image`, and `found` for the group.
    """

    pattern: str
    text: str


_COMPLAINTS: Final = [
    Complaint(
        r"permission denied while trying to connect|connect: permission denied",
        "the gateway's user may not talk to {engine}: use Podman ('runtime: podman') or rootless Docker, which need no rights; access to "
        "the socket of an ordinary Docker equals root on this machine, and adding the user to the group 'docker' grants it",
    ),
    Complaint(
        r"Cannot connect to the Docker daemon|[Cc]annot connect to Podman|unable to connect to Podman|failed to connect to the docker API",
        "{engine} does not answer: start it ('systemctl start {engine}'), or tell the gateway's service where it is (DOCKER_HOST)",
    ),
    Complaint(
        r"No such image|image not known",
        "there is no image {image} on this machine: '{engine} pull {image}', or 'pull: missing' in 'container'",
    ),
    Complaint(
        r"pull access denied|manifest unknown|manifest for \S+ not found|failed to resolve reference|initializing source docker://",
        "the image {image} cannot be fetched: mend its name, log in to its registry, or bring it with '{engine} load'",
    ),
    Complaint(
        r"custom device \"([^\"]+)\": (?:no such file|not a device)|Error: stat (/dev/\S+): no such file",
        "there is no device {found} on this machine: plug it in, or mend 'container.devices'",
    ),
    Complaint(
        r"[Cc]ontainer name \"/?([^\"]+)\" is already in use",
        "another container is called {found}, and it is not this gateway's: '{engine} ps --all' shows it; rename or remove it",
    ),
    Complaint(
        r"network (\S+) not found|network with name or ID (\S+):",
        "{engine} has no network {found}: '{engine} network create {found}', or mend 'container.network'",
    ),
    Complaint(
        r"bind source path does not exist: (\S+)|statfs (/\S+): no such file",
        "{engine} sees no {found} on its machine: make it, or mend 'container.mounts'",
    ),
    Complaint(
        r"\"?python\"?: executable file not found|executable file `?python`? not found|No module named '?trunkline",
        "the image {image} has no Python with Trunkline: build it as docs/how-to/isolate-sources.md shows",
    ),
]


class EngineInfo(NamedTuple):
    """What an engine says of itself."""

    version: str
    rootless: bool


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine's client.

    Attributes:
        name: docker or podman.
        program: its path.
    """

    name: str
    program: str

    def ask(self, *words: str) -> str:
        """Run a command that answers soon; return what it prints.

        Raises:
            SourceUnavailable: it failed, or did not answer; with the mend where the complaint is known.
        """
        try:
            done = subprocess.run([self.program, *words], capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SourceUnavailable(f"{self.name} {words[0]}: {error}: look at its service") from error
        if done.returncode:
            said = done.stderr.strip()
            raise SourceUnavailable(self.explain(said) or f"'{self.name} {words[0]}' failed with status {done.returncode}: {said}")
        return done.stdout.strip()

    def explain(self, said: str, image: str = "") -> str | None:
        """Return in words what a complaint means, and the mend; None where it is not known."""
        for pattern, text in _COMPLAINTS:
            if match := re.search(pattern, said):
                found = next((one for one in match.groups() if one), "").rstrip(".")
                return text.format(engine=self.name, image=image, found=found)
        return None

    def info(self) -> EngineInfo:
        """Return what it says of itself. Raises SourceUnavailable when it does not answer."""
        if self.name == "podman":
            version, _, rootless = self.ask("info", "--format", "{{.Version.Version}} {{.Host.Security.Rootless}}").partition(" ")
            return EngineInfo(version, rootless == "true")
        version, _, options = self.ask("info", "--format", "{{.ServerVersion}} {{.SecurityOptions}}").partition(" ")
        return EngineInfo(version, "name=rootless" in options)


def find(runtime: str | None = None) -> Engine:
    """Return the engine of that name, or the first that is installed.

    Raises:
        SourceUnavailable: there is none in PATH.
    """
    names = [runtime] if runtime else ["docker", "podman"]
    for name in names:
        if program := shutil.which(name):
            return Engine(name, program)
    wanted = " or ".join(names)
    raise SourceUnavailable(f"no {wanted} in PATH: install Podman or rootless Docker on the gateway's machine, or use 'isolate: process'")
