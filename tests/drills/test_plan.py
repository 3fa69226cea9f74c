"""The site that a drill makes of the user's."""

from trunkline.config.site import GatewayConfig
from trunkline.drills.plan import built_in_tags, document_of


def test_a_drill_needs_no_key_of_the_user() -> None:
    """The copy of a gateway whose journal is sealed: same buffer, no secret."""
    buffer = {"max_bytes": 200_000_000, "encryption": {"key": "${secret:JOURNAL_KEY}"}}
    gateway = GatewayConfig.model_validate({"id": "rig-1", "buffer": buffer})
    (copied,) = document_of(gateway, built_in_tags(3), None)["gateways"]
    assert copied["buffer"]["max_bytes"] == 200_000_000
    assert copied["buffer"]["encryption"] is None
    assert GatewayConfig.model_validate(copied).buffer.encryption is None
