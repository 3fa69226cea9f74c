"""HTTP in: devices and programs post JSON; answered once it is stored."""

from importlib import import_module

from trunkline.sources.port import Source, SourceContext, SourcePlugin
from trunkline.sources.webhook.config import WebhookConfig


def _create(config: WebhookConfig, context: SourceContext) -> Source:
    # every role reads the site file, and so this package; the HTTP server is for gateways that run such a source
    source: Source = import_module("trunkline.sources.webhook.source").WebhookSource(config, context)
    return source


PLUGIN = SourcePlugin("webhook", WebhookConfig, _create)
