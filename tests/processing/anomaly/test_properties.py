"""What holds for any series: scale and shift of a tag's unit change no score."""

from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.processing.anomaly.support import judged, rule, series

from trunkline.log.codec.columns import F64

TEXTS: Final = (
    "robust_z: {learn: 900, readings: 15}",
    "ewma: {learn: 2400}",
    "cusum: {learn: 2400, threshold: 5}",
    "seasonal: {learn: 2400}",
)


@st.composite
def walks(draw: st.DrawFn) -> F64:
    """Return a series with noise, jumps and stretches without change."""
    chance = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = chance.normal(0, 1, 90) + chance.choice([0.0, 5.0], 90, p=[0.95, 0.05]).cumsum()
    begin = draw(st.integers(0, 80))
    values[begin : begin + draw(st.integers(0, 30))] = values[begin]
    rounded: F64 = np.round(values, 3)
    return rounded


@pytest.mark.parametrize("text", TEXTS)
@settings(max_examples=25, deadline=None)
@given(values=walks(), power=st.integers(-8, 8), shift=st.integers(-1000, 1000))
def test_the_unit_of_a_tag_does_not_matter(text: str, values: F64, power: int, shift: int) -> None:
    """Scores of 2^n times the values plus a constant are those of the values; of their negative as well."""
    plain, events = judged(rule(text), series(values))
    scaled, _ = judged(rule(text), series(values * 2.0**power))
    assert scaled == plain, "a power of two changes no digit"
    shifted, _ = judged(rule(text), series(values + shift))
    assert shifted == pytest.approx(plain, rel=1e-4, abs=1e-6)
    turned, turned_events = judged(rule(text), series(-values))
    assert turned == plain
    assert [event.time for event in turned_events] == [event.time for event in events]
    assert all(score >= 0 for score in plain)
