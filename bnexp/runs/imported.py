"""Imported by one process only, which all workers are copies of (:mod:`bnexp.runs.workers`): what their runs need."""

from __future__ import annotations

import atexit
import gc
import os

from bnexp.garbage import none_searched

with none_searched():
    from bnexp.runs import many, run  # noqa: F401

gc.freeze()  # what is there from the start is not searched either, so that copies share its memory
atexit.register(os._exit, 0)  # torch takes a second to take itself apart, and holds the terminal until then
