"""Options of the simulated source."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from trunkline.config.tags import Model, SourceConfig, TagConfig

Period = Annotated[float, Field(gt=0, le=86_400 * 365, description="seconds of one cycle")]


class Sine(Model):
    """A sine wave."""

    shape: Literal["sine"] = "sine"
    mean: float = Field(50.0, description="value in the middle")
    amplitude: float = Field(10.0, description="largest distance from it")
    period: Period = 60.0


class Ramp(Model):
    """A straight rise from one value to another, then again from the start."""

    shape: Literal["ramp"] = "ramp"
    low: float = Field(0.0, description="first value")
    high: float = Field(100.0, description="value that the rise ends before")
    period: Period = 60.0


class Walk(Model):
    """A Gaussian random walk that is pulled back to its setpoint (P-36 to P-38)."""

    shape: Literal["walk"] = "walk"
    setpoint: float = Field(50.0, description="value that the walk starts at and is pulled to")
    noise: float = Field(5.0, gt=0, description="standard deviation that the walk settles at")
    pull: float = Field(0.1, gt=0, le=1, description="part of the distance to the setpoint that one step takes back")


class Square(Model):
    """Two values in turn; for boolean tags false and true."""

    shape: Literal["square"] = "square"
    low: float = Field(0.0, description="value of the first half of each cycle")
    high: float = Field(1.0, description="value of the second half")
    period: Period = 60.0


class Counter(Model):
    """A signed 64-bit counter that starts again at the lowest value after the highest."""

    shape: Literal["counter"] = "counter"
    start: int = Field(0, ge=-(2**63), le=2**63 - 1, description="first value")
    step: int = Field(1, ge=-(2**31), le=2**31 - 1, description="what each step adds; may be negative")


class Cycle(Model):
    """Texts one after the other."""

    shape: Literal["cycle"] = "cycle"
    texts: tuple[str, ...] = Field(("AUTO", "MANUAL", "CASCADE"), min_length=1, description="texts in their order")
    every: int = Field(10, ge=1, description="steps that each text stays")


Signal = Annotated[Sine | Ramp | Walk | Square | Counter | Cycle, Field(discriminator="shape")]

#: Kinds of tags that each shape can feed.
FITTING = {
    "sine": ("double",),
    "ramp": ("double",),
    "walk": ("double",),
    "square": ("double", "integer", "boolean"),
    "counter": ("integer",),
    "cycle": ("text",),
}


class SimulatedTagConfig(TagConfig):
    """One tag and its signal."""

    signal: Signal = Field(Sine(), description="shape of the values: sine, ramp, walk, square, counter or cycle, with its figures")
    bad: float = Field(0.0, ge=0, le=1, description="chance of a reading without a value, quality BAD (sensor fault)")
    writable: bool = Field(False, description="a written value replaces the signal until the source connects again")

    @model_validator(mode="after")
    def _fits(self) -> "SimulatedTagConfig":
        kinds = FITTING[self.signal.shape]
        if self.kind not in kinds:
            raise ValueError(
                f"signal {self.signal.shape!r} makes {' or '.join(kinds)} values: set 'kind' to that, or choose another signal"
            )
        return self


class SimulatedConfig(SourceConfig):
    """Signals made by arithmetic, for learning and tests; the same seed gives the same values."""

    type: Literal["simulated"] = "simulated"
    seed: int = Field(7, description="start of the chances; the same seed gives the same sequence")
    interval_ms: int = Field(1000, ge=1, le=86_400_000, description="time from one reading of every tag to the next")
    tags: tuple[SimulatedTagConfig, ...] = Field((), description="what is made")
