"""Arms of runs compared: what ``bnexp compare`` shows, and the same from Python.

``from bnexp.compare import frame`` gives a pandas data frame of a runs folder, a row a run (docs/records.md).
"""

from bnexp.compare.frames import frame
from bnexp.compare.table import Comparison, Question, compare

__all__ = ["Comparison", "Question", "compare", "frame"]
