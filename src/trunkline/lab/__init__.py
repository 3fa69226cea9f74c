"""Simulated plants on the real protocols, faults on demand, ground truth."""
