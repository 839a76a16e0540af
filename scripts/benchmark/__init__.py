"""The parts of ``scripts/bench.py``: training loops, each in a process of its own, that take turns; and the page they make."""
