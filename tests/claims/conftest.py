"""What tests of analyses in made-up worlds share."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from bnexp.claims.judge import judge
from bnexp.figures.style import SETTINGS


@pytest.fixture
def told():
    """``told(module, runs)``: verdicts and sentence of a claim; its figure is drawn, and nothing said is no number."""

    def tell(module, runs):
        evidence = module.analyse(runs, np.random.default_rng(0))
        verdicts = judge(module.CLAIM, evidence)
        sentence = module.say(evidence, verdicts)
        with matplotlib.rc_context(dict(SETTINGS)):
            figure = Figure()
            module.draw(evidence, figure)
            figure.draw_without_rendering()
        assert figure.axes
        assert not [text for text in (sentence, *evidence.numbers.values()) if "nan" in text or "inf" in text.split()]
        return verdicts, sentence

    return tell
