"""Configuration: schema (what is allowed), compose (how Hydra's answer becomes it), identity (who a run is)."""
