"""Log lines: JSON for machines and role processes, short lines for people (W-54). Credentials are taken out of every line."""

import logging
import sys
from typing import Any

import structlog

from trunkline.config.secrets import redact

_LIBRARIES = ("asyncua", "pymodbus", "paho", "amqtt", "uvicorn", "transitions")


def configure(*, as_json: bool) -> None:
    """Send structlog and the standard library's logging to one place: JSON lines on stdout, or text for people on stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        # before credentials are taken out: an exception's text may hold one
        structlog.processors.format_exc_info,
        _redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler = logging.StreamHandler(sys.stdout if as_json else sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[meta, renderer]))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def _redact(_logger: object, _method: str, event: Any) -> Any:  # noqa: ANN401 - structlog's processor signature
    return redact(event)
