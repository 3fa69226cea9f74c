"""The language of derived tags, rules and alarms, as steps see it; it lives in the model because site files are checked by it."""

from trunkline.model.expressions import FUNCTIONS, Expression, Gives, Node

__all__ = ["FUNCTIONS", "Expression", "Gives", "Node"]
