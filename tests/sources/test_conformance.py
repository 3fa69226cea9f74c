"""Runs the contract of sources on every installed plugin.

W-43, W-45, W-48, W-56, P-96, D-11: reading, writing, browsing, closing, turned clocks, refused batches; lost devices, reconnect storms,
silence, slow answers, garbage; errors without secrets; files. `test_third_party.py` runs the same on the package of a third party.
"""

from trunkline.config.plugins import source_types
from trunkline.sources.testing.suite import *  # noqa: F403 - that is how a plugin's package runs it

SOURCES = source_types()
