"""Built-in schemas: subjects, versions and the ids that they have in every registry (D-12, D-13).

Ids below 1,000 are given here and nowhere else. A version is never changed; a change is a new version with an id of its own.
"""

from typing import Final

from trunkline.log.codec.builtin.gateway import GATEWAY
from trunkline.log.codec.builtin.petroleum import PETROLEUM
from trunkline.log.codec.builtin.platform import PLATFORM
from trunkline.log.codec.builtin.shapes import Declaration, Subject

__all__ = ["BY_ID", "SUBJECTS", "Declaration", "Subject"]

SUBJECTS: Final[tuple[Subject, ...]] = (*PLATFORM, *GATEWAY, *PETROLEUM)
BY_ID: Final[dict[int, Declaration]] = {number: declaration for subject in SUBJECTS for number, declaration in subject.versions}
