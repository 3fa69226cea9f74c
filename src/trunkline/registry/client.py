"""The client that a site's roles and commands ask: its own registry, or the one that the site file names."""

from typing import Final

from trunkline.config.loading import Site
from trunkline.log.codec.registry import RegistryClient
from trunkline.registry.credential import credential_file, credential_in

#: A registry that listens on every address is asked on loopback.
_EVERY: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - looked up, not listened on


def client_of(site: Site) -> RegistryClient:
    """Return the client of a site; without a `registry` section it knows the built-in schemas only.

    Raises:
        Misconfigured: a secret, or the generated credential, cannot be read.
    """
    config = site.config.registry
    if config is None:
        return RegistryClient()
    ca = site.directory / config.ca if config.ca else None
    if config.url:
        return RegistryClient(config.url, username=config.username, password=site.secrets.resolve(config.password), ca=ca)
    scheme = "https" if config.certificate else "http"
    host = _EVERY.get(config.host, f"[{config.host}]" if ":" in config.host else config.host)
    username = password = ""
    if config.authentication == "basic":
        username, password = credential_in(credential_file(site.data_dir))
    return RegistryClient(f"{scheme}://{host}:{config.port}", username=username, password=password, ca=ca)
