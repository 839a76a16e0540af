"""Experiments that answer, with evidence anyone can re-run, why Batch Normalization works."""

__version__ = "0.1.0"
