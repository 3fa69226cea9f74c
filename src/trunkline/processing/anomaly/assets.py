"""A rule that looks at all its tags of one asset together, at regular times, with half-space trees."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from trunkline.config.anomalies import AnomalyRule, HalfSpaceTrees, score_path
from trunkline.log.codec.columns import F64, I64
from trunkline.model import times
from trunkline.model.events import Event
from trunkline.model.reading import Value
from trunkline.model.tags import SEPARATOR
from trunkline.processing.anomaly import baseline, marks
from trunkline.processing.anomaly.detector import LARGEST_SCORE, NEVER, Rows
from trunkline.processing.anomaly.episodes import Episodes, Turn
from trunkline.processing.anomaly.explanation import Evidence, begun, ended
from trunkline.processing.anomaly.forest import Forest, model_class, nodes
from trunkline.processing.anomaly.readings import Readings
from trunkline.processing.anomaly.rounds import rounds
from trunkline.processing.anomaly.table import Table, fingerprint
from trunkline.processing.anomaly.watch import Found

#: Weight of learnt answers below which the trees are not asked.
_FEWEST: Final = 30.0
#: Half of the band that is shown as usual, in standard deviations of the tag.
_BAND: Final = 3.0
_ONE: Final = np.zeros(1, np.int64)


class _Look(NamedTuple):
    """An asset's latest values at one time, and what the trees made of them."""

    asset: int
    time: int
    position: int
    values: F64
    score: float


class AssetWatch:
    """Half-space trees, one forest an asset."""

    def __init__(self, rule: AnomalyRule, options: HalfSpaceTrees, units: Mapping[str, str]) -> None:
        """Start with nothing learnt.

        Args:
            rule: its definition.
            options: of its detector.
            units: the tags that it watches, each with its unit.

        Raises:
            Misconfigured: river is not installed.
        """
        model_class()
        self.rule = rule
        self._options = options
        self._units = units
        self._paths = sorted(units)
        self._place = {path: place for place, path in enumerate(self._paths)}
        owners = [path.rpartition(SEPARATOR)[0] for path in self._paths]
        self.assets = sorted(set(owners))
        number = {asset: place for place, asset in enumerate(self.assets)}
        self._owner = np.array([number[owner] for owner in owners], np.int64)
        self._tags_of = [np.flatnonzero(self._owner == place) for place in range(len(self.assets))]
        self.score_paths = [score_path(rule, asset) for asset in self.assets]
        self.late = 0
        self.episodes = Episodes(rule, self.assets)
        self._every, self._max_age = int(options.every * times.SECOND), int(options.max_age * times.SECOND)
        self._learn = int(options.learn * times.SECOND)
        self._forests: list[Forest | None] = [None] * len(self.assets)
        # an asset that gained or lost a tag is another one to its trees
        made_by = fingerprint(rule.kind, options.model_dump_json(), *self._paths)
        latest = marks.blank(("value", "<f8"), ("noted", "<i8"), ("low", "<f8"), ("high", "<f8"), *baseline.fields())
        self._latest = Table(f"latest|{rule.id}|", self._paths, latest, made_by, marks.heard)
        self._learnt = Table(f"learnt|{rule.id}|", self.assets, _blank(options), made_by, _looked)

    # --- readings

    def evaluate(self, readings: Readings, now: int, *, live: bool = True) -> Found:
        """See `Watch.evaluate`."""
        tag_of = np.fromiter((self._place.get(tag, -1) for tag in readings.tags), np.int64, len(readings.tags))
        tags = tag_of[readings.tag]
        at = self._taken(np.flatnonzero(tags >= 0), tags, readings)
        looks: list[_Look] = []
        events: list[tuple[int, Event]] = []
        owners = self._owner[tags[at]]
        for asset in np.unique(owners).tolist():
            mine = at[owners == asset]
            for look in self._looks(asset, mine, tags[mine], readings):
                looks.append(look)
                if live:
                    events += self._step(look, now)
        looks.sort(key=lambda look: look.position)
        events.sort(key=lambda pair: pair[0])
        told = [look for look in looks if not np.isnan(look.score)]
        return Found(
            np.array([look.position for look in told], np.int64),
            np.array([look.asset for look in told], np.int64),
            np.array([look.time for look in told], np.int64),
            np.array([look.score for look in told], np.float64),
            events,
        )

    def _taken(self, mine: I64, tags: I64, readings: Readings) -> I64:
        """Return readings that are newer than all of their tag before."""
        rows, kept = self._latest.rows, []
        for chosen in rounds(tags[mine]):
            at = mine[chosen]
            before = rows["newest"][tags[at]]
            fresh, late = marks.take(rows, tags[at], at, readings)
            self._latest.changed[tags[at[fresh]]] = True
            self.late += int(late.sum())
            kept.append(at[fresh & (readings.time[at] > before)])
        return np.sort(np.concatenate(kept)) if kept else mine

    def _looks(self, asset: int, at: I64, tags: I64, readings: Readings) -> Iterator[_Look]:
        """Yield the looks that readings of one asset bring, each as it is made: one whenever a reading of a later period comes."""
        latest, state = self._latest.rows, self._learnt.rows
        self._learnt.changed[asset] = True
        period = np.maximum.accumulate(np.maximum(readings.time[at] // self._every, state["period"][asset]))
        before = np.concatenate(([state["period"][asset]], period[:-1]))
        turns = np.flatnonzero(period > before).tolist()
        done = 0
        for turn in turns:
            _note(latest, tags[done:turn], at[done:turn], readings)
            done = turn
            if before[turn] != NEVER and (look := self._look(asset, (int(before[turn]) + 1) * self._every, int(at[turn]))) is not None:
                yield look
        _note(latest, tags[done:], at[done:], readings)
        state["period"][asset] = period[-1]

    def _look(self, asset: int, time: int, position: int) -> _Look | None:
        """Look at the latest values of an asset; None when one of them is missing or too old."""
        mine, latest, state = self._tags_of[asset], self._latest.rows, self._learnt.rows
        if (time - latest["noted"][mine] > self._max_age).any():
            return None
        values: F64 = latest["value"][mine]
        if state["begun"][asset] == NEVER:
            state["begun"][asset] = time
            latest["low"][mine] = latest["high"][mine] = values
        passed = time - state["begun"][asset]
        if passed < self._learn // 2 and self._forests[asset] is None:
            latest["low"][mine] = np.minimum(latest["low"][mine], values)
            latest["high"][mine] = np.maximum(latest["high"][mine], values)
            score = np.nan
        else:
            score = self._asked(asset, time, values, passed >= self._learn)
        stamps = np.full(len(mine), time, np.int64)
        baseline.learn(latest, mine, stamps, values, self._options.half_life, np.full(len(mine), passed >= self._learn))
        return _Look(asset, time, position, values, score)

    def _asked(self, asset: int, time: int, values: F64, learnt: bool) -> float:
        """Return the score of values, NaN while learning, and have the trees learn them."""
        forest = self._forests[asset]
        if forest is None:
            forest = self._forests[asset] = Forest(self._options, [self._paths[tag] for tag in self._tags_of[asset].tolist()])
        point = self._scaled(asset, values)
        surprise = forest.surprise(point)
        forest.learn(point)
        if surprise is None:
            return np.nan
        state, row = self._learnt.rows, _ONE + asset
        ready = learnt and bool(state["weight"][asset] >= _FEWEST)
        spread = float(baseline.spread(state, row, 0.0)[0])
        score = min(max(surprise - float(state["mean"][asset]), 0.0) / spread, LARGEST_SCORE) if spread > 0 else 0.0
        baseline.learn(state, row, _ONE + time, np.array([surprise]), self._options.half_life, np.array([ready]))
        return score if ready else np.nan

    def _scaled(self, asset: int, values: F64) -> list[float]:
        mine = self._tags_of[asset]
        low, high = self._latest.rows["low"][mine], self._latest.rows["high"][mine]
        width = high - low
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            # a tag that never moved has no scale: below, at or above is all that can be told
            scaled = np.where(width > 0, (values - low) / width, 0.5 + np.sign(values - low))
        found: list[float] = np.clip(scaled, -1.0, 2.0).tolist()
        return found

    # --- events

    def _step(self, look: _Look, now: int) -> list[tuple[int, Event]]:
        row = _ONE + look.asset
        turns = self.episodes.step(row, _ONE + look.time, np.array([look.score]), now)
        return [(look.position, self._begin(turn, look, now) if turn.kind == "begin" else self._end(turn, now)) for turn in turns]

    def tick(self, now: int) -> list[Event]:
        """See `Watch.tick`."""
        newest = self._learnt.rows["period"] * self._every
        return [self._end(turn, now) for turn in self.episodes.tick(newest, now)]

    def _begin(self, turn: Turn, look: _Look, now: int) -> Event:
        mine, latest = self._tags_of[look.asset], self._latest.rows
        shares = self._shares(look)
        order = np.argsort(-shares, kind="stable")
        main = mine[order[0]]
        mean, spread = float(latest["mean"][main]), float(baseline.spread(latest, mine[order[:1]], 0.0)[0])
        evidence = Evidence(
            value=float(look.values[order[0]]),
            expected=mean,
            low=mean - _BAND * spread,
            high=mean + _BAND * spread,
            score=look.score,
            tags={self._paths[mine[one]]: float(shares[one]) for one in order.tolist()},
            facts=self._window(look.time),
        )
        return begun(self.rule, self.assets[look.asset], self._units[self._paths[main]], turn.start, evidence, now)

    def _window(self, time: int) -> dict[str, Value]:
        looks = self._options.window
        return {"window_from": time - self._every * looks, "window_to": time, "window_readings": looks}

    def _end(self, turn: Turn, now: int) -> Event:
        return ended(self.rule, self.assets[turn.series], turn, self.episodes.rows[turn.series], now)

    def _shares(self, look: _Look) -> F64:
        """Return each tag's share: how much less surprised the trees are when it alone has its usual value."""
        forest, mine = self._forests[look.asset], self._tags_of[look.asset]
        equal = np.full(len(mine), 1.0 / len(mine))
        if forest is None:
            return equal
        point = self._scaled(look.asset, look.values)
        usual = self._scaled(look.asset, self._latest.rows["mean"][mine])
        whole = forest.surprise(point) or 0.0
        without = [forest.surprise([*point[:place], value, *point[place + 1 :]]) or 0.0 for place, value in enumerate(usual)]
        relief = np.maximum(whole - np.array(without), 0.0)
        total = float(relief.sum())
        return relief / total if total > 0 else equal

    # --- state

    def tables(self) -> tuple[Table, ...]:
        """See `Watch.tables`."""
        rows = self._learnt.rows
        for asset, forest in enumerate(self._forests):
            if forest is not None and self._learnt.changed[asset]:
                rows["masses"][asset], rows["counter"][asset] = forest.masses()
                rows["turned"][asset], rows["shape"][asset] = forest.turned, forest.shape
        return (self._latest, self._learnt)

    def restore(self, key: str, data: bytes) -> bool:
        """See `Watch.restore`. Trees that another version of river would grow otherwise are learnt anew."""
        if self._latest.restore(key, data) is not None:
            return True
        asset = self._learnt.restore(key, data)
        if asset is None:
            return False
        row = self._learnt.rows[asset]
        if row["shape"]:
            forest = Forest(self._options, [self._paths[tag] for tag in self._tags_of[asset].tolist()])
            if forest.shape == row["shape"]:
                forest.restore(row["masses"], int(row["counter"]), turned=bool(row["turned"]))
                self._forests[asset] = forest
            else:
                self._learnt.rows[asset] = _blank(self._options)
        return True


def _blank(options: HalfSpaceTrees) -> np.void:
    fields: list[tuple[Any, ...]] = [("period", "<i8"), ("begun", "<i8"), ("counter", "<i8"), ("turned", "<i8"), ("shape", "<i8")]
    row = np.zeros(1, np.dtype([*fields, ("masses", "<i4", (nodes(options), 2)), *baseline.fields()]))
    row["period"] = row["begun"] = NEVER
    found: np.void = row[0]
    return found


def _looked(rows: Rows) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    known: np.ndarray[Any, np.dtype[np.bool_]] = rows["period"] != NEVER
    return known


def _note(latest: Rows, tags: I64, at: I64, readings: Readings) -> None:
    """Make these readings the latest ones of their tags; of several of one tag the last counts."""
    latest["value"][tags] = readings.value[at]
    latest["noted"][tags] = readings.time[at]
