"""Derived tags: series that are reckoned from others (docs/how-to/derived-tags.md)."""

from functools import cached_property
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from trunkline.config.tags import Model, Path, Seconds, SourceConfig, TagConfig
from trunkline.model.expressions import Expression
from trunkline.model.expressions.parsing import MAX_CHARACTERS
from trunkline.model.tags import TagPath

#: Gateway and source under which derived readings are counted and stored; no gateway of a site with derived tags may have this name.
DERIVED: Final = "derived"

_Kind = Literal["double", "integer", "boolean", "text"]
_KIND_OF: Final[dict[str, _Kind]] = {"truth": "boolean", "text": "text"}


class DerivedConfig(Model):
    """One derived tag."""

    path: Path = Field(description="full tag path of the result, for example PLANT01.AREA02.UNIT_05.FLOW_LOSS")
    calc: Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)] = Field(
        description="expression over tags (docs/reference/expressions.md); tags of the same asset are named without it"
    )
    kind: _Kind | None = Field(None, description="type of the values; empty: as the expression tells, else double")
    unit: str = Field("", max_length=32, description="engineering unit of the result; checked against the units of the inputs")
    check_units: bool = Field(True, description="false for an empirical formula, whose numbers have units of their own")
    description: str = Field("", max_length=256, description="what it means, for people")
    measurement: Literal["", "flow", "pressure", "temperature", "other"] = Field(
        "", description="which topic of the isa95 layout carries it; empty: as its name tells. Fixed once data is there (PD-18, PD-30)"
    )
    trigger: Literal["any", "all", "every"] = Field(
        "any",
        description="'any' reckons at each time at which an input has a reading, 'all' when every input has a new one, 'every' at the full "
        "multiples of 'every' seconds if an input has a new one",
    )
    every: Seconds | None = Field(None, ge=0.001, description="with 'trigger: every': seconds")
    settle: Annotated[float, Field(ge=0, le=3600)] = Field(
        1.0, description="seconds that a moment waits for inputs that have nothing newer; 0 reckons at once with what is known"
    )
    max_age: Seconds | None = Field(None, description="an input older than so many seconds makes the result UNCERTAIN (stale)")
    quality: Literal["worst", "good"] = Field(
        "worst", description="'worst' of the inputs; 'good' for an expression that judges its inputs itself with isgood() and age()"
    )
    min: float | None = Field(None, description="lower end of the range; below it validation refuses the reading")
    max: float | None = Field(None, description="upper end of the range; above it validation refuses the reading")

    @model_validator(mode="after")
    def _sound(self) -> "DerivedConfig":
        if (self.every is not None) != (self.trigger == "every"):
            raise ValueError("'every' and 'trigger: every' go together: write both, or neither")
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError(f"min ({self.min:g}) must be below max ({self.max:g})")
        return self

    @cached_property
    def expression(self) -> Expression:
        """The expression, read. Raises ValueError; cross checks tell of it before."""
        return Expression(self.calc, TagPath.parse(self.path).asset)

    @property
    def tag(self) -> TagConfig:
        """The result as an ordinary tag."""
        kind = self.kind or _KIND_OF.get(self.expression.gives, "double")
        return TagConfig(
            path=self.path,
            kind=kind,
            unit=self.unit,
            description=self.description,
            measurement=self.measurement,
            min=self.min,
            max=self.max,
        )


def derived_source(derived: tuple[DerivedConfig, ...]) -> SourceConfig:
    """Return what stands where ordinary tags have their source."""
    return SourceConfig(id=DERIVED, type=DERIVED, tags=tuple(one.tag for one in derived))


def in_order(derived: tuple[DerivedConfig, ...]) -> list[DerivedConfig]:
    """Return derived tags so that each comes after those that it is made of, otherwise in the order of the file.

    Raises:
        ValueError: some are made of each other; names the circle.
    """
    by_path = {one.path: one for one in derived}
    done: dict[str, DerivedConfig] = {}
    for start in derived:
        if start.path in done:
            continue
        way = [start.path]  # an explicit stack: a chain of derived tags may be longer than Python recurses
        while way:
            missing = next((tag for tag in by_path[way[-1]].expression.tags if tag in by_path and tag not in done), None)
            if missing is None:
                done[way[-1]] = by_path[way[-1]]
                way.pop()
            elif missing in way:
                raise ValueError(" <- ".join([*way[way.index(missing) :], missing]))
            else:
                way.append(missing)
    return list(done.values())
