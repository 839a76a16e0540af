"""Run records on disk: ``run.json``, ``events.jsonl``, ``probes/*.npz``, ``end.json``. No torch from here down."""
