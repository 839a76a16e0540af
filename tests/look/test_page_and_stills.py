"""Page, stills and animation of small runs: whole, small, and holding what the records say."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from bnexp.look import page
from bnexp.look.page import page_data, write_page
from bnexp.look.stills import draw, write_gif, write_stills


def test_the_page_is_one_file_that_asks_for_nothing(scene, tmp_path):
    file = write_page(scene, tmp_path / "out", "post_norm")
    text = file.read_text(encoding="utf-8")
    assert file.stat().st_size < 3_000_000
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["index.html"]
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", text)
    assert scene.sentence in text


def test_the_page_holds_the_percentiles_of_the_record(scene):
    data = page_data(scene, 2, "post_norm")
    for run, place_data in zip(scene.runs, data["runs"], strict=True):
        place = run.places["hidden2", "pre_norm"]
        raw = base64.b64decode(place_data["places"]["hidden2/pre_norm"]["q"])
        found = np.frombuffer(raw, "<f2").reshape(place.quantiles.shape)
        np.testing.assert_allclose(found, place.quantiles, rtol=1e-3, atol=1e-5)
    assert data["columns"] == [0, 2]
    json.dumps(data, allow_nan=False)


def test_a_page_of_many_runs_keeps_as_many_units_as_fit_and_says_so(scene, monkeypatch):
    monkeypatch.setattr(page, "BUDGET", 8)
    monkeypatch.setattr("bnexp.look.tracks.NUM_TRACKS", 3)
    data = page_data(scene, 2, "post_norm")
    assert data["units"]["hidden1"] == [0, 4, 7]
    assert any("it holds 3 units of a layer" in note for note in page._notes(scene, 2, data["units"]))


def test_stills_are_written_in_three_formats(scene, tmp_path):
    files = write_stills(replace(scene, layers=scene.layers[-1:]), tmp_path, "next_input")
    assert [file.name for file in files] == ["look.svg", "look.png", "look.pdf"]
    image = np.asarray(Image.open(files[1]).convert("L"), float)
    assert image.shape[0] > 300
    assert image.std() > 10  # something is drawn
    assert files[2].read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(("num_arms", "panels", "words"), [(2, 2, ""), (6, 6, ""), (9, 8, "8 of 9 arms; left out: ")])
def test_a_still_shows_eight_arms_and_names_those_it_leaves_out(scene, num_arms, panels, words):
    figure = draw(replace(scene, layers=scene.layers[-1:], columns=([0, 2] * 5)[:num_arms]), "post_norm")
    assert len(figure.axes) == 2 * panels + 1
    rows = {round(ax.get_position().y0, 3) for ax in figure.axes[:-1]}
    assert len(rows) == (1 if panels <= 4 else 2)
    said = figure.get_suptitle().splitlines()
    assert said[1:] == ([words + scene.runs[0].label] if words else [])


@pytest.mark.slow
def test_the_animation_has_a_frame_for_each_look(scene, tmp_path):
    with Image.open(write_gif(replace(scene, layers=scene.layers[-1:]), tmp_path / "look.gif", "post_norm")) as gif:
        assert gif.n_frames == len(set(scene.runs[0].steps) | set(scene.runs[2].steps))
        first = np.asarray(gif.convert("RGB"), int)
        gif.seek(gif.n_frames - 1)
        assert np.abs(np.asarray(gif.convert("RGB"), int) - first).max() > 100
