"""Certificates of a site: our own authority, short-lived leaves, renewal before they end (PD-14, P-92).

A leaf and its key are one PEM file, because only one file can be replaced as a whole: a broker or client that reads it while it is renewed
gets the old pair or the new one, never half of each.
"""

from trunkline.security.pki.authority import CertificateAuthority
from trunkline.security.pki.bundle import Bundle
from trunkline.security.pki.errors import CertificateProblem

__all__ = ["Bundle", "CertificateAuthority", "CertificateProblem"]
