"""Tables of other programs: a query of PostgreSQL or SQLite, run again and again for what is new."""

from importlib import import_module

from trunkline.sources.port import Source, SourceContext, SourcePlugin
from trunkline.sources.sql.config import SqlConfig


def _create(config: SqlConfig, context: SourceContext) -> Source:
    # every role reads the site file, and so this package; the database's client is for gateways that run such a source
    source: Source = import_module("trunkline.sources.sql.source").SqlSource(config, context)
    return source


PLUGIN = SourcePlugin("sql", SqlConfig, _create)
