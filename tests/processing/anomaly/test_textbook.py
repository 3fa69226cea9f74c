"""Detectors beside plain formulas and worked examples of textbooks."""

import statistics
from itertools import pairwise
from typing import Final

import numpy as np
import pytest
from tests.processing.anomaly.support import START, TAG, judged, rule, series

from trunkline.model import times

#: Montgomery, 'Introduction to Statistical Quality Control', table 9.1: target 10, sigma 1, from the 21st on the mean is 11.
MONTGOMERY: Final = (
    9.45, 7.99, 9.29, 11.66, 12.16, 10.18, 8.04, 11.46, 9.20, 10.34, 9.03, 11.47, 10.51, 9.40, 10.08,
    9.37, 10.62, 10.31, 8.52, 10.84, 10.90, 9.33, 12.29, 11.50, 10.60, 11.08, 10.38, 11.62, 11.31, 10.52,
)  # fmt: skip


def test_cusum_is_the_textbooks_example() -> None:
    """E-73. Montgomery, example 9.1: k = 0.5, h = 5; C+ reaches 5.28 at the 29th reading, seven readings after it left zero."""
    scores, events = judged(rule("cusum: {target: 10, sigma: 1, slack: 0.5, threshold: 5}", clear_delay=600), series(MONTGOMERY))
    up = down = 0.0
    expected = []
    for value in MONTGOMERY:
        up, down = max(0.0, value - 10.5 + up), max(0.0, 9.5 - value + down)
        expected.append(max(up, down))
    assert scores == pytest.approx(expected)
    assert [round(score, 2) for score in scores[27:]] == [4.47, 5.28, 5.30]
    (event,) = events
    assert event.type == "ANOMALY"
    assert event.time == START + 28 * times.MINUTE
    assert event.attributes["window_readings"] == 7
    assert event.attributes["window_from"] == START + 22 * times.MINUTE, "the textbook: the shift came between the 22nd and 23rd"
    assert event.attributes["shift"] == pytest.approx(0.5 + 5.28 / 7), "equation 9.6: the new mean is 11.25"
    assert event.attributes["direction"] == "up"


def test_ewma_is_the_textbooks_example() -> None:
    """Montgomery, example 9.2: weight 0.1, L = 2.7; limits 9.38 and 10.62 in the end; out from the 29th reading on."""
    scores, events = judged(rule("ewma: {target: 10, sigma: 1, weight: 0.1, threshold: 2.7}", clear_delay=600), series(MONTGOMERY))
    average, expected = 10.0, []
    for number, value in enumerate(MONTGOMERY, 1):
        average = 0.1 * value + 0.9 * average
        expected.append(abs(average - 10) / (0.1 / 1.9 * (1 - 0.9 ** (2 * number))) ** 0.5)
    assert scores == pytest.approx(expected)
    (event,) = events
    assert event.time == START + 28 * times.MINUTE
    assert round(float(event.attributes["high"] or 0), 2) == 10.62
    assert round(float(event.attributes["low"] or 0), 2) == 9.38
    assert round(float(event.attributes["average"] or 0), 4) == 10.6468
    assert event.attributes["sigma"] == 1


def test_the_first_limits_of_a_chart_are_narrow() -> None:
    """Montgomery, example 9.2: the limits after the first reading are 10 ± 0.27."""
    _, (event,) = judged(rule("ewma: {target: 10, sigma: 1, weight: 0.1, threshold: 2.7}"), series([13.0]))
    assert (event.attributes["low"], event.attributes["high"]) == pytest.approx((9.73, 10.27))


def test_the_robust_score_is_the_plain_formula() -> None:
    """E-73. Iglewicz and Hoaglin: distance from the median of the readings before, over 1.4826 times the median distance."""
    values = np.random.default_rng(7).normal(50, 2, 300)
    scores, _ = judged(rule("robust_z: {readings: 31, learn: 1, window: 86400}"), series(values))
    expected = []
    for place in range(10, 300):
        window = values[max(0, place - 31) : place]
        median = statistics.median(window)
        expected.append(abs(values[place] - median) / (1.4826 * statistics.median(abs(window - median))))
    assert scores == pytest.approx(expected)


def test_the_window_is_one_of_source_time() -> None:
    """E-73: half of the readings come at once after a pause; only what is younger than the window counts."""
    values = np.random.default_rng(7).normal(50, 2, 60)
    rows = series(values[:30], every=10) + series(values[30:], every=10, start=START + times.HOUR)
    scores, _ = judged(rule("robust_z: {readings: 60, learn: 1, window: 600}"), rows)
    assert len(scores) == 20 + 20, "ten readings make a window, before the pause and after it"
    window = values[30:59]
    median = statistics.median(window)
    assert scores[-1] == pytest.approx(abs(values[59] - median) / (1.4826 * statistics.median(abs(window - median))))


def test_the_profile_knows_each_hour() -> None:
    """A value that is usual at noon is not at midnight; mean and deviation are those of the hour, weighted by age."""
    chance = np.random.default_rng(7)
    hours = np.arange(24 * 6 * 10) // 6 % 24
    values = 50 + 10 * (hours >= 12) + chance.uniform(-1.5, 1.5, len(hours))
    values[-1 - 6 * 20] = 60.0  # in the last night
    half_life = 2.0
    scores, events = judged(rule("seasonal: {learn: 259200, half_life: 172800, threshold: 6}"), series(values, every=600))
    place = len(values) - 1 - 6 * 20
    same = [other for other in range(place) if hours[other] == hours[place]]
    weights = np.array([0.5 ** ((place - other) * 600 / 86_400 / half_life) for other in same])
    mean = np.average(values[same], weights=weights)
    deviation = np.average((values[same] - mean) ** 2, weights=weights) ** 0.5
    assert scores[place - 3 * 144] == pytest.approx(abs(60 - mean) / deviation, rel=1e-6)
    (event,) = [event for event in events if event.type == "ANOMALY"]
    assert event.time == START + place * 600 * times.SECOND
    assert event.attributes["expected"] == pytest.approx(mean)
    assert event.attributes["hour"] == hours[place]


def test_hours_are_those_of_the_sites_clocks() -> None:
    """A shift of 06:00 to 18:00 in Oslo stays one when summer time begins on 29 March 2026."""
    winter = [times.from_iso(f"2026-03-{day}T{hour:02}:30:00+01:00") for day in range(20, 29) for hour in range(24)]
    summer = [times.from_iso(f"2026-03-{day}T{hour:02}:30:00+02:00") for day in (30, 31) for hour in range(24)]
    chance = np.random.default_rng(7)
    rows = []
    for moments in (winter, summer):
        for number, moment in enumerate(moments):
            for minute in range(0, 20, 5):
                value = 50 + 10 * (6 <= number % 24 < 18) + chance.normal(0, 1)
                rows.append((TAG, moment + minute * times.MINUTE, float(value), 0))
    text = "seasonal: {learn: 432000, threshold: 8}"
    assert judged(rule(text), rows, zone="Europe/Oslo")[1] == []
    assert judged(rule(text), rows, zone="UTC")[1] != [], "by UTC the shift comes an hour early"


def test_a_learnt_reference_is_mean_and_deviation() -> None:
    """What charts learn without forgetting to speak of is what everybody computes."""
    values = np.random.default_rng(7).normal(50, 2, 200)
    scores, _ = judged(rule("cusum: {learn: 11940, half_life: 315360000, slack: 0, threshold: 100}"), series(values))
    (score,) = scores
    assert score == pytest.approx(abs(values[199] - values[:199].mean()) / values[:199].std(), rel=1e-4)


def test_a_gap_ages_what_was_learnt() -> None:
    """Forgetting goes by source time: after a gap of many half-lives the new level is learnt before anything is told."""
    chance = np.random.default_rng(7)
    gap = 30 * 86_400
    rows = series(chance.normal(50, 2, 2000)) + series(chance.normal(90, 2, 2000), start=START + (2000 * 60 + gap) * times.SECOND)
    steady = rule("ewma: {learn: 3600, half_life: 8640000}")
    forgetful = rule("ewma: {learn: 3600, half_life: 86400}")
    assert [event.type for event in judged(steady, rows)[1]][:1] == ["ANOMALY"]
    assert judged(forgetful, rows)[1] == []
    assert all(one[1] < other[1] for one, other in pairwise(rows))
