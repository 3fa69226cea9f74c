"""A whole scan made fit for the journal: what `Conditioner` does to a reading, done to columns."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trunkline.model.quality import SEVERITY_SHIFT, Quality, Severity
from trunkline.model.reading import Kind
from trunkline.model.scan import I64, Bools, Scan


def unclocked(tags: Sequence[bool]) -> Bools | None:
    """Return, per tag, whether its device should give a time of its own; None when none should."""
    return np.array(tags, np.bool_) if any(tags) else None


def fit_scan(scan: Scan, clocked: Bools | None, *, doubted: bool = False) -> Scan:
    """Return the scan with finite values and an honest quality.

    Args:
        scan: as the source gave it.
        clocked: per tag, whether the device should have given a time; None when none should.
        doubted: whether the gateway's clock, which stamped the scan, is known to be off.
    """
    if scan.absent is None and scan.quality is None and clocked is None and not doubted and np.isfinite(scan.numbers).all():
        return scan
    quality = np.zeros(len(scan), np.int64) if scan.quality is None else scan.quality.copy()
    absent = np.zeros(len(scan), np.bool_) if scan.absent is None else scan.absent.copy()
    quality[absent & (_severity(quality) < Severity.BAD)] = Quality.BAD
    infinite = np.zeros(len(scan), np.bool_)
    infinite[[kind is Kind.DOUBLE for kind in scan.roster.kinds]] = ~np.isfinite(scan.numbers)
    infinite &= ~absent
    quality[infinite] = Quality.BAD_NOT_FINITE
    absent |= infinite
    if clocked is not None:
        quality[clocked & (_severity(quality) < Severity.UNCERTAIN)] = Quality.UNCERTAIN_NO_SOURCE_TIME
    if doubted:
        quality[_severity(quality) < Severity.UNCERTAIN] = Quality.UNCERTAIN_CLOCK_SKEW
    return replace(scan, quality=quality if quality.any() else None, absent=absent if absent.any() else None)


def _severity(quality: I64) -> I64:
    """Return `trunkline.model.quality.severity` of each."""
    severities: I64 = quality >> SEVERITY_SHIFT
    return severities
