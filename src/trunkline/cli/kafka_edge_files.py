"""The folder of an edge's own Kafka: every file that its broker and MirrorMaker 2 start from, made from the site file.

server.properties     of the broker
mm2.properties        of MirrorMaker 2
log4j2.properties     of both
secrets/              login to the centre: folder 0700, files 0600
data/                 the broker's
"""

import dataclasses
from pathlib import Path
from typing import Final

from trunkline.config.edge import EdgeKafka
from trunkline.config.loading import Site
from trunkline.config.secrets import SecretStore
from trunkline.config.site import LogConfig
from trunkline.lab.kafka.edge import BROKER_FILE, LOG4J_FILE, MIRROR_FILE
from trunkline.lab.kafka.settings import LOG4J
from trunkline.log.kafka.mirror import broker_settings, central_login, java_properties, mirror_settings
from trunkline.model.errors import Misconfigured

_HEADING: Final = ("Written by 'trunkline kafka edge init' from the site file; changes here are lost.",)


def edge_of(site: Site) -> EdgeKafka:
    """Return the section of a site file whose edge has a Kafka of its own. Raises Misconfigured where there is none."""
    if site.config.log.edge is None:
        raise Misconfigured(f"{site.file} has no 'log.edge' section: docs/how-to/kafka-edge.md has an example")
    return site.config.log.edge


def edge_directory(site: Site, directory: Path | None) -> Path:
    """Return where the edge's Kafka keeps everything: `kafka-edge` of the data directory, or the folder that was asked for."""
    return (directory or site.data_dir / "kafka-edge").resolve()


def centre_of(site: Site) -> Site:
    """Return the edge's site with the centre in place of its own broker."""
    central, own = edge_of(site).central, site.config.log
    log = LogConfig(
        engine="kafka",
        bootstrap=central.bootstrap,
        profile=central.profile,
        security=central.security,
        insecure=central.insecure,
        layout=own.layout,
        partitions=own.partitions,
    )
    return dataclasses.replace(site, config=site.config.model_copy(update={"log": log}))


def write_files(site: Site, directory: Path) -> list[Path]:
    """Write every file anew, a secret only as it is replaced; return their paths.

    Raises:
        Misconfigured: the site file has no edge, the principal at the centre has another name than its rights, or a secret cannot be read.
    """
    edge, log = edge_of(site), site.config.log
    _check_principal(site.config.site, edge)
    secrets = directory / "secrets"
    login = central_login(edge.central, site.secrets, secrets)
    directory.mkdir(parents=True, exist_ok=True)
    store = dataclasses.replace(site.secrets, directory=secrets, base=directory)
    _write_secrets(store, dict(login.files))
    texts = {
        BROKER_FILE: java_properties(broker_settings(log, edge, directory), _HEADING),
        MIRROR_FILE: java_properties(mirror_settings(site.config.site, log, edge, login, secrets), _HEADING),
        LOG4J_FILE: LOG4J,
    }
    for name, text in texts.items():
        (directory / name).write_text(text, "ascii")
    return [*(directory / name for name in texts), *(secrets / name for name in login.files)]


def _check_principal(site: str, edge: EdgeKafka) -> None:
    security = edge.central.security
    if security is not None and security.username and security.username != f"mirror-{site}":
        raise Misconfigured(
            f"'edge.central.security' logs in as {security.username!r}, and rights at the centre are those of 'mirror-{site}': write "
            f"'username: mirror-{site}'; 'trunkline topics apply CENTRE.yaml --mirror {site}' makes that user"
        )


def _write_secrets(store: SecretStore, files: dict[str, str]) -> None:
    store.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in files.items():
        store.put(name, text, overwrite=True)
