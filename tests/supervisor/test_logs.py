"""Log lines: what went wrong stays readable, credentials do not."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from trunkline.supervisor import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    yield
    root.handlers[:] = before
    structlog.reset_defaults()


def test_an_unexpected_error_keeps_its_trace_and_loses_its_password(capsys: pytest.CaptureFixture[str]) -> None:
    """W-54: one JSON line says where it happened; a credential in an exception's text is taken out."""
    logs.configure(as_json=True)
    try:
        raise ValueError("cannot open postgresql://me:hunter2@db/history")  # noqa: TRY301 - an error to tell of
    except ValueError as error:
        structlog.get_logger("trunkline.test").critical("died", exc_info=(type(error), error, error.__traceback__))
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert "test_an_unexpected_error" in told["exception"]
    assert "ValueError: cannot open" in told["exception"]
    assert "hunter2" not in line


def test_the_standard_librarys_errors_alike(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(as_json=True)
    try:
        raise OSError("gone")  # noqa: TRY301 - as above
    except OSError:
        logging.getLogger("asyncua").exception("library")
    (line,) = capsys.readouterr().out.splitlines()
    assert "OSError: gone" in json.loads(line)["exception"]
