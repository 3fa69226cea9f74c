"""From errors to sentences and exit statuses: 2 for what a person must mend, 3 for what may work later."""

from collections.abc import Iterator
from contextlib import contextmanager

from trunkline.cli.output import fail
from trunkline.model.errors import Misconfigured, Rejected, RetryLater


@contextmanager
def telling() -> Iterator[None]:
    """Run a command's work; what goes wrong is told in a sentence and ends the command."""
    try:
        yield
    except (Misconfigured, Rejected, ValueError) as error:
        fail(str(error), 2)
    except RetryLater as error:
        fail(str(error), 3)
