"""Anomaly rules: which tags are watched for what is unusual, by which detector, and when it is told.

Nothing is watched until a rule is written. Every rule names exactly one detector; its own section says how it works.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from trunkline.config.tags import Identifier, Model, Seconds, SourceConfig, TagConfig
from trunkline.model.tags import SEPARATOR, TagPattern

#: Gateway and source under which scores are counted and stored; no gateway of a site with anomaly rules may have this name.
ANOMALY: Final = "anomaly"
_PATTERN: Final = re.compile(r"(\*\*|[A-Z0-9*][A-Z0-9_*-]*)(\.(\*\*|[A-Z0-9*][A-Z0-9_*-]*))*")


def _pattern(text: str) -> str:
    if not _PATTERN.fullmatch(text):
        raise ValueError(f"{text!r} is no pattern of tag paths: write for example PLANT01.**.PRESSURE, where ** stands for any levels")
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]
Forgetting = Annotated[float, Field(gt=0, le=86_400 * 3650)]


class RobustZ(Model):
    """Distance from the median of the readings before, in robust standard deviations (1.4826 MAD): for spikes and jumps."""

    window: Seconds = Field(3600.0, description="seconds of source time that median and spread are taken of")
    readings: int = Field(
        60, ge=10, le=1000, description="most readings of the window that are kept, the newest; memory grows with it: 16 bytes a tag each"
    )
    threshold: float = Field(8.0, gt=0, description="score from which a reading is an anomaly, in robust standard deviations")
    min_spread: float = Field(0.0, ge=0, description="least standard deviation assumed, in the tag's unit; 0 judges no series without any")
    learn: Seconds = Field(3600.0, description="seconds of source time from a tag's first reading in which nothing is reported")


class Chart(Model):
    """What the control charts share: the reference that readings are compared with."""

    target: float | None = Field(None, description="value that the tag should have; default: the mean of the learnt past")
    sigma: float | None = Field(None, gt=0, description="standard deviation of a reading in good order; default: learnt")
    season: Literal["none", "day", "week"] = Field(
        "none", description="'day' learns a mean and deviation for each hour of the day, 'week' of the week; hours of the site's time zone"
    )
    half_life: Forgetting = Field(7 * 86_400.0, description="seconds until a learnt reading weighs half; longer than what has to be found")
    min_spread: float = Field(0.0, ge=0, description="least standard deviation assumed, in the tag's unit; 0 judges no series without any")
    learn: Seconds = Field(
        3 * 86_400.0, description="seconds of source time from a tag's first reading in which nothing is reported: several cycles"
    )

    @property
    def known(self) -> bool:
        """Whether the reference is given, so that nothing has to be learnt."""
        return self.target is not None and self.sigma is not None

    @model_validator(mode="after")
    def _season(self) -> "Chart":
        if self.season != "none" and self.known:
            raise ValueError("'season' is about what is learnt, and 'target' and 'sigma' leave nothing to learn: remove it or one of them")
        return self


class Ewma(Chart):
    """Control chart of an exponentially weighted moving average: for lasting shifts of one to three standard deviations."""

    weight: float = Field(0.1, gt=0, le=1, description="weight of the newest reading; smaller finds smaller shifts, later")
    threshold: float = Field(4.5, gt=0, description="control limits, in standard deviations of the average; textbooks have 2.7 to 3")


class Cusum(Chart):
    """Two-sided cumulative sum of deviations: for slow drift and small lasting shifts."""

    slack: float = Field(1.0, ge=0, description="deviation that does not count, in standard deviations: half the shift that matters")
    threshold: float = Field(30.0, gt=0, description="sum from which it is an anomaly, in standard deviations; textbooks have 4 to 5")
    reset: int = Field(10, ge=1, description="so many readings in a row within the slack set a sum above the threshold back to zero")


class Seasonal(Model):
    """Distance from what is usual at this hour of the day or week, in standard deviations of that hour: for the wrong value at its time."""

    season: Literal["day", "week"] = Field("day", description="'day' keeps 24 hours, 'week' 168; hours of the site's time zone")
    half_life: Forgetting = Field(14 * 86_400.0, description="seconds until a learnt reading weighs half")
    threshold: float = Field(6.0, gt=0, description="score from which a reading is an anomaly, in standard deviations of its hour")
    min_spread: float = Field(0.0, ge=0, description="least standard deviation assumed, in the tag's unit; 0 judges no hour without any")
    learn: Seconds = Field(
        3 * 86_400.0, description="seconds of source time from a tag's first reading in which nothing is reported: several seasons"
    )


class HalfSpaceTrees(Model):
    """Half-space trees over all the rule's tags of one asset: for combinations of values that were not there before.

    Needs the optional package river: pip install 'trunkline[anomaly]'.
    """

    every: Seconds = Field(120.0, description="seconds of source time between two looks at the asset's latest values")
    max_age: Seconds = Field(600.0, description="a tag whose latest GOOD value is older makes the look void")
    trees: int = Field(25, ge=1, le=200, description="trees; more are steadier and slower")
    height: int = Field(
        8, ge=1, le=12, description="levels of a tree; with 25 trees 8 take about 5 MB an asset, and each further one doubles it"
    )
    window: int = Field(1440, ge=10, le=100_000, description="looks after which the trees take over what they learnt")
    half_life: Forgetting = Field(7 * 86_400.0, description="seconds until a learnt score weighs half")
    threshold: float = Field(6.5, gt=0, description="score from which a look is an anomaly, in standard deviations of the usual surprise")
    seed: int = Field(7, ge=0, description="of the random trees: the same seed grows the same trees")
    learn: Seconds = Field(
        4 * 86_400.0,
        description="seconds of source time from the first look in which nothing is reported; the first half finds the range of each tag",
    )


Detector = RobustZ | Ewma | Cusum | Seasonal | HalfSpaceTrees
#: Sections of a rule that are detectors, as they are called in the file.
DETECTORS: Final = ("robust_z", "ewma", "cusum", "seasonal", "half_space_trees")


class AnomalyRule(Model):
    """One rule: which tags, one detector, and when an anomaly begins and ends."""

    id: Identifier = Field(description="name of the rule, unique within the site; it is part of the names of its scores")
    enabled: bool = Field(True, description="false keeps it in the file without watching")
    tags: tuple[Pattern, ...] = Field(
        min_length=1, description="paths or patterns of numeric tags: * within one level, ** any number of levels"
    )
    robust_z: RobustZ | None = None
    ewma: Ewma | None = None
    cusum: Cusum | None = None
    seasonal: Seasonal | None = None
    half_space_trees: HalfSpaceTrees | None = None
    delay: float = Field(0.0, ge=0, le=86_400, description="seconds that a score has to stay at its threshold until an anomaly begins")
    clear_delay: float = Field(60.0, ge=0, le=86_400 * 7, description="seconds that a score has to stay low until an anomaly ends")
    deadband: float = Field(0.2, ge=0, lt=1, description="share of the threshold that a score has to fall below it to count as low")
    silence: Seconds = Field(3600.0, description="an anomaly also ends when its tag had no GOOD reading for so many seconds")
    scores: bool = Field(True, description="keep the scores as a series beside the tag; false tells anomalies only")

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, given: object) -> object:
        """A detector that stands there without options, as in 'cusum:', has its defaults."""
        if isinstance(given, dict):
            return {key: {} if key in DETECTORS and value is None else value for key, value in given.items()}
        return given

    @model_validator(mode="after")
    def _one(self) -> "AnomalyRule":
        named = [name for name in DETECTORS if getattr(self, name) is not None]
        if len(named) != 1:
            told = f"has {' and '.join(named)}" if named else "has no detector"
            raise ValueError(f"rule {self.id!r} {told}: give exactly one of {', '.join(DETECTORS)}")
        return self

    @property
    def kind(self) -> str:
        """Name of the detector, one of `DETECTORS`."""
        return next(name for name in DETECTORS if getattr(self, name) is not None)

    @property
    def detector(self) -> Detector:
        """The detector's own options."""
        found: Detector = getattr(self, self.kind)
        return found


def watched(rule: AnomalyRule, paths: Iterable[str]) -> list[str]:
    """Return the paths that the rule's patterns stand for, in the order given."""
    patterns = [TagPattern(text) for text in rule.tags]
    return [path for path in paths if any(pattern.matches(path) for pattern in patterns)]


def score_path(rule: AnomalyRule, series: str) -> str:
    """Return the path of the scores: beside the tag, or below the asset where one rule looks at all its tags together.

    PLANT01.AREA02.UNIT_05.FLOW_RATE and rule 'drift' make PLANT01.AREA02.UNIT_05.FLOW_RATE_ANOMALY_DRIFT. A level more would make a branch
    of the tag.

    Args:
        rule: whose scores.
        series: path of the tag, or of the asset for half-space trees.
    """
    name = f"ANOMALY_{rule.id.upper()}"
    return f"{series}{SEPARATOR}{name}" if rule.half_space_trees else f"{series}_{name}"


def score_source(rules: Iterable[AnomalyRule], tags: Iterable[TagConfig]) -> SourceConfig:
    """Return what stands where ordinary tags have their source: the scores that the enabled rules keep.

    Args:
        rules: of the site file.
        tags: every other tag of the site.
    """
    numeric = [tag.path for tag in tags if tag.kind in {"double", "integer"}]
    found: dict[str, TagConfig] = {}
    for rule in rules:
        if not (rule.enabled and rule.scores):
            continue
        paths = watched(rule, numeric)
        series = dict.fromkeys(path.rpartition(SEPARATOR)[0] for path in paths) if rule.half_space_trees else dict.fromkeys(paths)
        for one in series:
            path = score_path(rule, one)
            found[path] = TagConfig(path=path, description=f"anomaly score of {one} by rule {rule.id}"[:256])
    return SourceConfig(id=ANOMALY, type=ANOMALY, tags=tuple(found.values()))
