"""Experiments that answer, with evidence anyone can re-run, why Batch Normalization works."""

__version__ = "0.2.0.dev0"
