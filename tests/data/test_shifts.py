"""Shifts of pictures against plain arithmetic, and digits in ink."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from bnexp.data import coloured_digits
from bnexp.data.shifts import add_noise, brighten, flatten, invert, recolour
from bnexp.data.source import Part, Source, SourceSpec
from bnexp.errors import UserError


class Hues:
    """A generator that draws the hues it is told to."""

    def __init__(self, *hues: float) -> None:
        self.hues = np.array(hues)

    def random(self, count: int) -> np.ndarray:
        assert count == len(self.hues)
        return self.hues


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 3, 5, 4), dtype=np.uint8)


def test_black_becomes_the_colour_of_the_hue_and_white_stays_white():
    hues = [0.0, 0.07, 1 / 3, 0.5, 0.81, 0.999]
    x = np.zeros((6, 3, 2, 1), np.uint8)
    x[:, :, 1] = 255
    painted = recolour(x, Hues(*hues))
    expected = [colorsys.hsv_to_rgb(hue, 1, 1) for hue in hues]
    np.testing.assert_allclose(painted[:, :, 0, 0], 255 * np.array(expected), atol=0.51)
    assert (painted[:, :, 1] == 255).all()


def test_grey_becomes_a_paler_shade_of_the_colour(images):
    grey = np.repeat(images[:, :1], 3, axis=1)
    painted = recolour(grey, Hues(0, 0, 0, 1 / 3, 1 / 3, 2 / 3))
    red, green, blue = np.moveaxis(painted[:3], 1, 0)
    assert (red == 255).all()
    assert (green == grey[:3, 0]).all()
    assert (blue == grey[:3, 0]).all()


def test_strengths_of_zero_or_one_change_nothing_and_extremes_do_what_they_say(images):
    generator = np.random.default_rng(0)
    for same in (
        brighten(images, 0.0),
        flatten(images, 1.0),
        add_noise(images, 0.0, generator),
        invert(invert(images)),
    ):
        np.testing.assert_array_equal(same, images)
    assert (brighten(images, 1.0) == 255).all()
    np.testing.assert_allclose(
        flatten(images, 0.0), np.broadcast_to(images.mean((2, 3), keepdims=True), images.shape), atol=0.51
    )
    assert (invert(images).astype(int) + images == 255).all()


def test_brightness_and_contrast_follow_their_formulas(images):
    u = images / 255
    np.testing.assert_allclose(brighten(images, 0.3) / 255, np.minimum(u + 0.3, 1), atol=0.002)
    mean = u.mean((2, 3), keepdims=True)
    np.testing.assert_allclose(flatten(images, 0.2) / 255, 0.2 * u + 0.8 * mean, atol=0.002)


def test_noise_has_the_asked_deviation_and_no_two_pixels_share_it():
    x = np.full((20, 3, 28, 28), 128, np.uint8)
    noise = add_noise(x, 0.1, np.random.default_rng(0)) / 255 - 128 / 255
    assert noise.std() == pytest.approx(0.1, rel=0.02)
    assert abs(np.corrcoef(noise[:, 0].ravel(), noise[:, 1].ravel())[0, 1]) < 0.03


@pytest.fixture
def digits(monkeypatch) -> Source:
    """Twelve training and five test digits of strokes as bright as can be, in the place of the embedded ones."""
    train, test = (
        Part(np.tile(np.eye(6, dtype=np.uint8) * 255, (count, 1, 1, 1)), np.arange(count) % 3) for count in (12, 5)
    )
    source = Source(train, test, 3)
    monkeypatch.setattr(coloured_digits, "SOURCES", {"mnist_5k": SourceSpec(load=lambda _: source)})
    return source


def inked(tmp_path, **changes) -> Source:
    return coloured_digits.load(tmp_path, **{"digits": "mnist_5k", "ink": "black", "lightest": 0.4, **changes})


def test_black_ink_is_a_shade_for_each_image_on_white_paper(digits, tmp_path):
    made = inked(tmp_path)
    for part, plain in ((made.train, digits.train), (made.test, digits.test)):
        assert part.labels.tolist() == plain.labels.tolist()
        assert (part.images[:, :1] == part.images).all()
        assert (part.images[np.repeat(plain.images == 0, 3, axis=1)] == 255).all()
        shades = part.images[:, 0, 0, 0]
        assert shades.max() <= 0.4 * 255
        assert len(set(shades)) > len(shades) - 2
    assert (inked(tmp_path, lightest=0).train.images == 255 - digits.train.images).all()


@pytest.mark.usefixtures("digits")
def test_coloured_ink_is_the_same_shade_in_a_hue_for_each_image(tmp_path):
    black, colour = inked(tmp_path).train.images, inked(tmp_path, ink="colour").train.images
    strokes = colour[:, :, 0, 0]
    assert (strokes.max(axis=1) == 255).all()
    np.testing.assert_allclose(strokes.min(axis=1), black[:, 0, 0, 0], atol=1)
    assert len({tuple(stroke) for stroke in strokes}) == len(strokes)


@pytest.mark.usefixtures("digits")
def test_loading_twice_gives_the_same_and_moves_no_global_generator(tmp_path):
    before = np.random.get_state()[1].tolist()
    assert inked(tmp_path, ink="colour").checksum == inked(tmp_path, ink="colour").checksum
    assert np.random.get_state()[1].tolist() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"digits": "minst"}, "digits must be one of mnist_5k, mnist\n  got: 'minst'\n  try: dataset.digits=mnist"),
        ({"ink": "color"}, "ink must be one of black, colour\n  got: 'color'\n  try: dataset.ink=colour"),
        ({"lightest": 1.0}, "lightest must be a number at least 0 and below 1\n  got: 1\n  try: dataset.lightest=0.4"),
    ],
)
def test_an_option_out_of_range_is_refused(tmp_path, changes, message):
    with pytest.raises(UserError) as error:
        inked(tmp_path, **changes)
    assert str(error.value) == f"dataset.{message}"
