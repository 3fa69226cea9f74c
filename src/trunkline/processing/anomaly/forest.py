"""Half-space trees of one asset: river's model, kept as plain numbers.

Tan, Ting and Liu, 'Fast anomaly detection for streaming data' (IJCAI 2011). River's answer is one minus the share of what was learnt that
lies near a point; it is used as its surprise, minus the logarithm of that share, which has no upper end to crowd against.
"""

import hashlib
import importlib
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trunkline.config.anomalies import HalfSpaceTrees
from trunkline.model.errors import Misconfigured

I4 = npt.NDArray[np.int32]
#: Share of what was learnt that counts as none.
_NOTHING: Final = 1e-6


def model_class() -> type[Any]:
    """Return river's class.

    Raises:
        Misconfigured: it is not installed.
    """
    try:
        found: type[Any] = importlib.import_module("river.anomaly").HalfSpaceTrees
    except ImportError as error:
        message = "half_space_trees needs the package river: run pip install 'trunkline[anomaly]', or write 'enabled: false'"
        raise Misconfigured(message) from error
    return found


def nodes(options: HalfSpaceTrees) -> int:
    """Return the nodes of all trees together."""
    return int(options.trees * (2 ** (options.height + 1) - 1))


class Forest:
    """The trees over features that are each scaled to 0…1."""

    def __init__(self, options: HalfSpaceTrees, features: Sequence[str]) -> None:
        self._model = model_class()(n_trees=options.trees, height=options.height, window_size=options.window, seed=options.seed)
        self._features = list(features)
        self._window = options.window
        # the trees grow with the first point, which must not count: the masses are set right below
        self._model.learn_one(dict.fromkeys(self._features, 0.5))
        self._nodes = [node for tree in self._model.trees for node in tree.iter_dfs()]
        self.shape = self._shape()
        self.turned = False
        self._set(np.zeros((len(self._nodes), 2), np.int32), 0)

    def surprise(self, point: Sequence[float]) -> float | None:
        """Return minus the logarithm of the share of what was learnt near a point; None in the first window, which only learns."""
        if not self.turned:
            return None
        share = 1.0 - float(self._model.score_one(dict(zip(self._features, point, strict=True))))
        return -math.log(max(share, _NOTHING))

    def learn(self, point: Sequence[float]) -> None:
        """Add a point to the window under way."""
        self._model.learn_one(dict(zip(self._features, point, strict=True)))
        self.turned = self.turned or self._model.counter == 0

    def masses(self) -> tuple[I4, int]:
        """Return the masses of each node, those of the window under way and of the one before, and how many points the former holds."""
        return np.array([(node.l_mass, node.r_mass) for node in self._nodes], np.int32), int(self._model.counter)

    def restore(self, masses: I4, counter: int, *, turned: bool) -> None:
        """Take back what `masses` returned."""
        if turned:
            # river says only by a full window that the first one is over
            self._model.counter = self._window - 1
            self._model.learn_one(dict.fromkeys(self._features, 0.5))
        self.turned = turned
        self._set(masses, counter)

    def _set(self, masses: I4, counter: int) -> None:
        for node, (current, last) in zip(self._nodes, masses.tolist(), strict=True):
            node.l_mass, node.r_mass = current, last
        self._model.counter = counter

    def _shape(self) -> int:
        """Return a hash of every split: masses fit the trees that they were counted in and no others."""
        splits = "\n".join(f"{node.feature} {node.threshold!r}" if hasattr(node, "threshold") else "leaf" for node in self._nodes)
        return int.from_bytes(hashlib.blake2b(splits.encode(), digest_size=7).digest(), "little")
