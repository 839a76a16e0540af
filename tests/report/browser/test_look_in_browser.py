"""The page of ``bnexp look`` in a real browser: quiet, alone, narrow enough, and it moves by mouse and keyboard."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from bnexp.config.compose import compose
from bnexp.look.choose import choose
from bnexp.look.page import write_page
from bnexp.look.tracks import read_scene
from bnexp.runs.run import execute

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def address(small, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("look")
    for norm in ("none", "batch"):
        for seed in (0, 1):
            execute(replace(compose([*small, "probes=light", f"norm={norm}", f"seed={seed}"]), runs_dir=str(folder / "runs")))
    return write_page(read_scene(choose([], folder / "runs")), folder / "out", "post_norm").as_uri()


def opened(browser, address, **options):
    browser.load(address, **options)
    for _ in range(100):
        if browser.evaluate("document.body.dataset.ready") == "yes":
            return
        time.sleep(0.1)
    pytest.fail("the page never became ready")


def complaints(browser):
    """But for what Bokeh logs of itself."""
    return [one for one in browser.complaints() if one["params"].get("type") != "log"]


STEP = "document.getElementById('step').textContent"


def press(browser, key, code):
    text = {"text": " "} if key == " " else {}
    browser.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=code, **text)
    browser.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=code)


def test_it_loads_without_a_complaint_and_asks_for_nothing_but_itself(browser, address):
    opened(browser, address, width=1400)
    assert complaints(browser) == []
    assert browser.requests() == [address]


@pytest.mark.parametrize("width", [390, 320, 768, 1400])
def test_it_never_scrolls_sideways(browser, address, width):
    opened(browser, address, width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_arrows_step_and_space_plays_to_the_end(browser, address):
    opened(browser, address, width=1400)
    assert browser.evaluate(STEP) == "step 30"
    press(browser, "ArrowLeft", "ArrowLeft")
    before = browser.evaluate(STEP)
    assert before not in ("step 30", "step 0")
    press(browser, "ArrowRight", "ArrowRight")
    assert browser.evaluate(STEP) == "step 30"
    press(browser, " ", "Space")
    assert browser.evaluate(STEP) == "step 0"
    for _ in range(200):
        if browser.evaluate(STEP) == "step 30":
            break
        time.sleep(0.1)
    assert browser.evaluate(STEP) == "step 30"
    assert browser.evaluate("document.getElementById('play').ariaLabel") == "play"


def test_point_unit_and_run_can_be_chosen(browser, address):
    opened(browser, address, width=1400)
    choose_one = (
        "((id, value) => {{ const s = document.getElementById(id); s.value = value; s.dispatchEvent(new Event('change')); }})"
        "('{}', '{}')"
    )
    title = "document.getElementById('title_2_0').textContent"
    units = "Bokeh.documents[0].get_model_by_name('tracks_2_0_data').data.width.filter(w => w > 2).length"
    assert browser.evaluate(title).endswith("after the norm")
    browser.evaluate(choose_one.format("point", "next_input"))
    assert browser.evaluate(title).endswith("into the next layer")
    assert browser.evaluate(units) == 0
    browser.evaluate(choose_one.format("unit", "5"))
    assert browser.evaluate(units) == 1
    browser.evaluate(choose_one.format("run_0", "3"))
    assert browser.evaluate(title).startswith("with BN, seed 1")
    assert complaints(browser) == []


def test_every_panel_has_something_drawn_in_light_and_in_dark(browser, address, tmp_path):
    for dark in (False, True):
        opened(browser, address, width=1400, dark=dark)
        browser.screenshot(tmp_path / "page.png")
        image = np.asarray(Image.open(tmp_path / "page.png").convert("RGB"), int)
        assert (image[5, 5].mean() < 60) == dark
        colourful = (image.max(axis=2) - image.min(axis=2)) > 100
        assert colourful.mean() > 0.01
        assert (colourful[:, :700].any(), colourful[:, 700:].any()) == (True, True)
