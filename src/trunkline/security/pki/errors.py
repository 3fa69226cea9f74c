"""What can be wrong with a key or certificate."""

from trunkline.model.errors import Misconfigured


class CertificateProblem(Misconfigured):
    """A key or certificate cannot be used; the text names the file and the mend, and never holds key material."""
