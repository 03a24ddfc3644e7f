"""Measurements, not tests: `python -m tests.bench` prints figures and ratios, each pair taken in one run."""
