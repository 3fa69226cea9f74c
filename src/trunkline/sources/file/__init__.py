"""Text files that others write: CSV, JSON lines, lines of any shape; tailed with checkpoints."""

from importlib import import_module

from trunkline.sources.file.config import FileConfig
from trunkline.sources.port import Source, SourceContext, SourcePlugin


def _create(config: FileConfig, context: SourceContext) -> Source:
    source: Source = import_module("trunkline.sources.file.source").FileSource(config, context)
    return source


PLUGIN = SourcePlugin("file", FileConfig, _create)
