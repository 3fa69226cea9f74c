"""With which login a command reaches the brokers, and what it needs there."""

import dataclasses
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from confluent_kafka.admin import AdminClient

from trunkline.config.loading import Site
from trunkline.log.kafka.admin import ClusterAdmin
from trunkline.log.kafka.settings import Connection
from trunkline.log.opening import open_site_log
from trunkline.log.port import Log
from trunkline.security.kafka_credentials import secret_name

Login = Annotated[
    str,
    typer.Option(
        "--as", help="log in as this user, with the secret kafka-USER; default: 'admin' where its secret is here, else the site's own"
    ),
]


def logged_in(site: Site, user: str) -> Site:
    """Return the site with another login to its brokers; the same site where it has none, or no other was asked for."""
    logging.getLogger("trunkline.kafka").setLevel(logging.CRITICAL)  # a command tells what is wrong in one sentence, not at every try
    security = site.config.log.security
    name = user or ("admin" if (site.secrets.directory / secret_name("admin")).is_file() else "")
    if security is None or not name or name == security.username:
        return site
    reference = "${secret:" + secret_name(name) + "}"
    other = security.model_copy(update={"username": name, "password": reference})
    log = site.config.log.model_copy(update={"security": other})
    return dataclasses.replace(site, config=site.config.model_copy(update={"log": log}))


@contextmanager
def browsing(site: Site) -> Iterator[Log]:
    """Open the site log as it is, for a while: a login that may see a few topics only sees those, and nothing is created on brokers."""
    log = open_site_log(site.config.log, site.data_dir, site.secrets, look=False)
    try:
        yield log
    finally:
        log.close()


def cluster_admin(site: Site) -> ClusterAdmin:
    """Return the administration of the site's brokers. Raises Misconfigured when a secret or a file is missing."""
    connection = Connection(site.config.log, site.secrets)
    return ClusterAdmin(AdminClient(connection.of_client()), connection)
