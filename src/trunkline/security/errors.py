"""Why somebody is not let in. The texts never hold a password, a token or a name that was typed."""

from trunkline.model.errors import TrunklineError


class NotAuthenticated(TrunklineError):
    """No valid session or token."""


class WrongCredentials(NotAuthenticated):
    """Unknown user or wrong password: one answer for both."""


class NotAllowed(TrunklineError):
    """Known, but the role does not suffice; or the request came by a forbidden way."""


class TooManyAttempts(TrunklineError):
    """Too many failed logins.

    Attributes:
        retry_after: whole seconds until the next attempt is looked at.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many failed logins: wait {retry_after} s")
        self.retry_after = retry_after


class WeakPassword(TrunklineError):
    """A password that somebody else would find; the text says what is missing."""
