"""Log lines of an isolated source: JSON objects on standard output, which the gateway puts into its own log under the source's id."""

import logging
import sys
import traceback
from typing import Any

import msgspec
import structlog
from typing_extensions import override


class _Lines(logging.Handler):
    """The standard library's records as lines of the same kind."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        words = {"level": record.levelname.lower(), "logger": record.name, "event": record.getMessage()}
        if record.exc_info:
            words["exception"] = "".join(traceback.format_exception(*record.exc_info))
        write(words)


def write(words: dict[str, Any]) -> None:
    """Write one line."""
    sys.stdout.buffer.write(msgspec.json.encode(words, enc_hook=str) + b"\n")
    sys.stdout.buffer.flush()


def configure() -> None:
    """Send structlog and the standard library's logging there: our own from 'info' on, libraries from 'warning' on."""

    def line(_logger: object, _method: str, event: Any) -> str:  # noqa: ANN401 - structlog's processor signature
        return msgspec.json.encode(event, enc_hook=str).decode()

    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.format_exc_info, line],
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Lines()]
    root.setLevel(logging.WARNING)
    logging.getLogger("trunkline").setLevel(logging.INFO)
