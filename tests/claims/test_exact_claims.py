"""What the eight claims of algebra and counting have in common: declared, repeatable, torch-free to judge, drawable."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bnexp.claims.judge import judge
from bnexp.figures.style import SETTINGS

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow

#: Claim to the verdicts that its endpoints reach with enough cases, the primary first.
VERDICTS = {
    "algorithm_1": ("SUPPORTED", "SUPPORTED"),
    "identity_restored": ("SUPPORTED", "SUPPORTED"),
    "inference_algorithm_2": ("SUPPORTED",) * 6,
    "conv_property": ("SUPPORTED",),
    "scale_invariance": ("SUPPORTED", "SUPPORTED"),
    "weight_norm_growth": ("SUPPORTED", "SUPPORTED"),
    "used_everywhere": ("SUPPORTED",),
    "squeezes_to_unit_interval": ("CONTRADICTED", "SUPPORTED", "SUPPORTED"),
}


#: Counting modules has no seed.
SEEDED = sorted(set(VERDICTS) - {"used_everywhere"})


@pytest.fixture(scope="module")
def smoke():
    """``smoke(name)``: what the claim measures at seed 0, once for the whole file; no global generator may move meanwhile."""
    kept: dict[str, dict[str, np.ndarray]] = {}

    def measured(name):
        if name not in kept:
            before_torch, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
            kept[name] = dict(import_module(f"bnexp.claims.{name}").measure(0, "smoke"))
            assert torch.equal(before_torch, torch.get_rng_state())
            np.testing.assert_array_equal(before_numpy, np.random.get_state()[1])
        return kept[name]

    return measured


@pytest.fixture(params=sorted(VERDICTS))
def name(request):
    return request.param


def evidence_of(claim, arrays):
    runs = SimpleNamespace(seeds=lambda: (0,), measured=lambda seed: arrays)  # noqa: ARG005 - one seed, one answer
    return claim.analyse(runs, np.random.default_rng(0))


def claim_of(name):
    return import_module(f"bnexp.claims.{name}").CLAIM


def test_a_claim_says_who_what_and_what_would_overturn_it(name):
    claim = claim_of(name)
    assert claim.id == name
    assert claim.statement.endswith(".")
    assert all((claim.section, claim.source, claim.formula, claim.caveats, claim.overturn))
    assert len(claim.statement) < 132  # one line of the verdict table
    assert set(claim.measurement.num_seeds) == {"smoke", "quick", "full"}


def test_arrays_are_of_kinds_that_a_record_keeps_without_pickle(name, smoke):
    assert {array.dtype.kind for array in smoke(name).values()} <= set("biufU")


@pytest.mark.parametrize("name", SEEDED)
def test_a_measurement_repeats_itself(name, smoke):
    first = smoke(name)
    second = import_module(f"bnexp.claims.{name}").measure(0, "smoke")
    assert first.keys() == second.keys()
    for key in first:
        np.testing.assert_array_equal(first[key], second[key])


@pytest.mark.parametrize("name", SEEDED)
def test_another_seed_measures_other_cases(name, smoke):
    first, second = smoke(name), import_module(f"bnexp.claims.{name}").measure(1, "smoke")
    assert any(not np.array_equal(first[key], second[key]) for key in first)


def test_what_was_declared_is_what_is_analysed(name, smoke):
    claim, evidence = claim_of(name), evidence_of(claim_of(name), smoke(name))
    assert list(evidence.samples) == list(claim.endpoints)
    assert tuple(evidence.gates) == claim.gates
    assert all(isinstance(value, str) and value for value in evidence.numbers.values())


def test_a_measured_world_reaches_the_known_verdict_or_lacks_cases(name, smoke):
    claim = claim_of(name)
    verdicts = judge(claim, evidence_of(claim, smoke(name)))
    for verdict, expected in zip(verdicts.values(), VERDICTS[name], strict=True):
        assert verdict.outcome == expected or verdict.word == "not powered"


def test_the_sentence_says_what_was_found_with_its_number_of_cases(name, smoke):
    claim, evidence = claim_of(name), evidence_of(claim_of(name), smoke(name))
    sentence = claim.say(evidence, judge(claim, evidence))
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert re.search(r"\d", sentence)
    assert "nan" not in sentence


def test_the_figure_draws_without_a_warning_and_puts_ink_on_paper(name, smoke):
    with matplotlib.rc_context(dict(SETTINGS)):
        figure = Figure()
        canvas = FigureCanvasAgg(figure)
        claim_of(name).draw(evidence_of(claim_of(name), smoke(name)), figure)
        canvas.draw()
    assert np.asarray(canvas.buffer_rgba())[..., :3].std() > 5
    assert all(axes.get_xlabel() or axes.get_ylabel() for axes in figure.axes)
    assert figure.get_figwidth() <= 5  # wider ones are unreadable on a phone


def test_declaring_loads_neither_torch_nor_pyplot_nor_scipy():
    code = "import sys, bnexp.claims; print({'torch', 'matplotlib.pyplot', 'scipy', 'torchvision'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
