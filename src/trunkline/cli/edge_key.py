"""The key of an edge journal on the command line: what is wrong with it is told with its place in the site file."""

from collections.abc import Iterator
from contextlib import contextmanager

from trunkline.config.loading import Site
from trunkline.log.journal.journal import Journal
from trunkline.log.journal.sealing import WrongKey
from trunkline.log.opening import edge_key, open_edge_journal
from trunkline.model.errors import Misconfigured

_REKEY = "name the key that it was sealed with, or let 'trunkline journal rekey' give it this one"
_ADD = "add 'encryption: {key: ${secret:NAME}}' with the key that it was sealed with"


@contextmanager
def naming_the_key(site: Site, gateway: str) -> Iterator[None]:
    """Do something with a gateway's key; what is wrong with the key is told as Misconfigured, with file, line and mend."""
    try:
        yield
    except WrongKey as error:
        number = next(number for number, one in enumerate(site.config.gateways) if one.id == gateway)
        encryption = site.config.gateways[number].buffer.encryption
        if encryption is None:
            place, mend = site.place("gateways", number, "buffer"), f": {_ADD}"
        else:
            place = site.place("gateways", number, "buffer", "encryption", "key")
            mend = f": {_REKEY}" if "sealed with" in str(error) else ""  # a key that cannot be had says itself what to do
        raise Misconfigured(f"{place}: gateway {gateway!r}: {error}{mend}") from None


def open_journal(site: Site, gateway: str) -> Journal:
    """Open a gateway's edge journal with the key that the site file names. Raises Misconfigured, RetryLater."""
    with naming_the_key(site, gateway):
        key = edge_key(site.gateway(gateway), site.secrets)
        return open_edge_journal(site.config.log, site.data_dir, gateway, key)
