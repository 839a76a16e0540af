"""From a config to a complete record: decide, run, finish."""
