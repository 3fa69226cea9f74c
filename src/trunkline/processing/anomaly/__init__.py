"""Anomaly detection: scores as series and anomalies with their evidence, by rules of the site file (E-56, E-73)."""

from trunkline.processing.anomaly.book import AnomalyBook, Findings, Scores

__all__ = ["AnomalyBook", "Findings", "Scores"]
