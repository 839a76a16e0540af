"""Training: the reference loop and what it is made of. Start with ``loop.py``."""
