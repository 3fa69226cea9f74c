"""The registry as a role: one process, until it is told to stop."""

import logging
import socket
from pathlib import Path
from typing import Final

import uvicorn

from trunkline.config.addresses import is_loopback
from trunkline.config.loading import Site
from trunkline.config.registry import RegistryConfig
from trunkline.log.codec.compatibility import Level
from trunkline.model.errors import Misconfigured
from trunkline.registry.app import create_app
from trunkline.registry.builtin import install
from trunkline.registry.credential import Credential, credential_file, credential_in
from trunkline.registry.postgres import PostgresDatabase
from trunkline.registry.service import Registry
from trunkline.registry.sqlite import SqliteDatabase
from trunkline.registry.storage import Database
from trunkline.security.origin import OriginRules

_log = logging.getLogger(__name__)

_SHUTDOWN_SECONDS: Final = 3


def open_database(dsn: str, data_dir: Path) -> Database:
    """Open the storage: PostgreSQL by a connection string, or a file under the data directory.

    Raises:
        Misconfigured: it cannot be opened.
        RetryLater: PostgreSQL is away.
    """
    return PostgresDatabase(dsn) if dsn else SqliteDatabase(data_dir / "registry" / "registry.sqlite")


def run_registry(site: Site) -> None:
    """Serve a site's registry until SIGTERM or SIGINT.

    Raises:
        Misconfigured: the storage cannot be opened, the port is taken, or it would listen openly on the network.
        RetryLater: PostgreSQL is away.
    """
    config = site.config.registry or RegistryConfig()
    check_exposure(config)
    credential = credential_in(credential_file(site.data_dir)) if config.authentication == "basic" else None
    database = open_database(site.secrets.resolve(config.dsn), site.data_dir)
    install(database)
    registry = Registry(database, Level(config.compatibility))
    with _listening(config.host, config.port) as listener:
        scheme = "https" if config.certificate else "http"
        _log.info("schema registry on %s://%s:%d/", scheme, config.host, listener.getsockname()[1])
        if credential is not None:
            _log.info("clients need the user name and password in %s", credential_file(site.data_dir))
        server_of(registry, config, site.directory, credential).run(sockets=[listener])


def check_exposure(config: RegistryConfig) -> None:
    """Refuse to listen beyond this machine without a password and TLS. Raises Misconfigured."""
    if is_loopback(config.host):
        return
    lacking = [
        name
        for name, there in (("authentication: basic", config.authentication == "basic"), ("certificate", config.certificate))
        if not there
    ]
    if lacking:
        raise Misconfigured(
            f"registry.host {config.host} can be reached from other machines: add {' and '.join(lacking)}, or use 127.0.0.1"
        )


def server_of(registry: Registry, config: RegistryConfig, base: Path, credential: Credential | None) -> uvicorn.Server:
    """Return a server that is not running yet; relative certificate paths start at `base`."""
    return uvicorn.Server(
        uvicorn.Config(
            create_app(registry, OriginRules(config.host, config.allowed_hosts), credential),
            host=config.host,
            port=config.port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            lifespan="on",
            ssl_certfile=base / config.certificate if config.certificate else None,
            ssl_keyfile=base / config.key if config.key else None,
        )
    )


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        mend = "choose another 'registry.port', or stop what listens there"
        raise Misconfigured(f"the schema registry cannot listen on {host}:{port}: {error.strerror or error}: {mend}") from error
