"""The API as a role: one process, until it is told to stop."""

import logging
import socket
from pathlib import Path
from typing import Final

import uvicorn

from trunkline.api import static
from trunkline.api.app import create_app
from trunkline.api.board import Board
from trunkline.api.services import Services
from trunkline.config.loading import Site
from trunkline.historian.reader import Reader
from trunkline.log.opening import layout_of, open_site_log
from trunkline.model.errors import Misconfigured
from trunkline.processing.alarms.desk import AlarmList
from trunkline.security.door import Door

_log = logging.getLogger(__name__)

#: Live clients have this long to hear of the end.
_SHUTDOWN_SECONDS: Final = 3
#: Request line and headers: 500 tags of full length fit.
_MAX_HEAD: Final = 256 * 1024
_MAX_SOCKET_MESSAGE: Final = 4 * 1024 * 1024


def open_services(site: Site, conninfo: str) -> Services:
    """Open everything that the application of a site needs. The historian may be away: its connections are opened when needed.

    Args:
        site: the site.
        conninfo: how the historian's database is reached.

    Raises:
        Misconfigured: the log or the store of users cannot be opened.
        RetryLater: the log cannot be opened now.
    """
    door = Door(site.data_dir)
    try:
        # the API answers, and says so, while Kafka is away
        log = open_site_log(site.config.log, site.data_dir, site.secrets, look=False)
    except BaseException:
        door.close()
        raise
    return Services(site, Reader(conninfo), log, layout_of(site.config.log), door, Board(site.data_dir), AlarmList(site))


def close_services(services: Services) -> None:
    """Close what `open_services` opened."""
    services.reader.close()
    services.log.close()
    services.door.close()


def server_of(services: Services, *, host: str, port: int, static_dir: Path = static.FOLDER) -> uvicorn.Server:
    """Return a server that is not running yet."""
    behind_proxy = bool(services.site.config.api.allowed_hosts)
    config = uvicorn.Config(
        create_app(services, static_dir=static_dir),
        host=host,
        port=port,
        log_config=None,
        # requests are counted in the metrics; an access log would hold search words and tag names
        access_log=False,
        server_header=False,
        # without a proxy of our own a header must not choose the address that failed logins are counted by
        proxy_headers=behind_proxy,
        h11_max_incomplete_event_size=_MAX_HEAD,
        ws_max_size=_MAX_SOCKET_MESSAGE,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        lifespan="on",
    )
    return uvicorn.Server(config)


def run_api(site: Site, conninfo: str) -> None:
    """Serve a site until SIGTERM or SIGINT.

    Args:
        site: the site.
        conninfo: how the historian's database is reached.

    Raises:
        Misconfigured: the log or the store of users cannot be opened, or the port is taken.
        RetryLater: the log cannot be opened now.
    """
    api = site.config.api
    with _listening(api.host, api.port) as listener:
        services = open_services(site, conninfo)
        try:
            _log.info("serving on http://%s:%d/", api.host, listener.getsockname()[1])
            server_of(services, host=api.host, port=api.port).run(sockets=[listener])
        finally:
            close_services(services)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        mend = "choose another 'api.port', or stop what listens there ('trunkline doctor' names it)"
        raise Misconfigured(f"the API cannot listen on {host}:{port}: {error.strerror or error}: {mend}") from error
