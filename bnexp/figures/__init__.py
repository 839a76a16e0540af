"""Figures: each is a function of data and axes."""
