"""The page in a real browser: loads quietly, asks nobody for anything, fits a phone and paper."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PHONE, SMALL_PHONE, PROJECTOR = 375, 320, 1400


@pytest.fixture
def address(world) -> str:
    return world.written.page.as_uri()


def test_it_loads_without_a_complaint_and_asks_for_nothing_but_itself(browser, address):
    browser.load(address, width=PROJECTOR)
    assert browser.complaints() == []
    assert browser.requests() == [address]


def test_a_complaint_and_a_request_would_be_seen(browser, tmp_path):
    page = tmp_path / "loud.html"
    page.write_text('<script>console.error("loud")</script><img src="absent.png">')
    browser.load(page.as_uri(), width=PROJECTOR)
    browser.evaluate("0")
    assert browser.complaints()
    assert len(browser.requests()) == 2


def test_there_is_a_section_for_every_claim_with_its_figures_drawn(browser, address, world):
    browser.load(address, width=PROJECTOR)
    assert browser.evaluate("document.querySelectorAll('section.claim').length") == len(world.judged)
    drawn = "e.getBoundingClientRect().height > 80 && {}"
    for figures, least, seen in (
        ("figure .plot", 6, "e.querySelector('path').getBBox().width > 0"),
        (".claim > .pictures .interval", 5, "e.querySelector('.axis').getBBox().width > 0"),
        (".claim > .pictures .every", 3, "e.querySelector('.axis').getBBox().width > 0"),
    ):
        found = f"[...document.querySelectorAll('{figures}')].filter(e => e.checkVisibility())"
        assert browser.evaluate(f"{found}.length") > least
        assert browser.evaluate(f"{found}.filter(e => !({drawn.format(seen)})).length") == 0


@pytest.mark.parametrize("width", [SMALL_PHONE, PHONE, 768, PROJECTOR])
def test_the_page_never_scrolls_sideways(browser, address, width):
    browser.load(address, width=width)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    beyond = """[...document.querySelectorAll('main *')].filter(e => !e.closest('svg, pre, .scroll, thead') &&
        e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML.slice(0, 80))"""
    assert browser.evaluate(beyond) == []


def test_the_words_of_figures_can_be_read_on_a_phone(browser, address):
    """The size a 9-point label has after the figure was made as narrow as the phone."""
    browser.load(address, width=PHONE)
    browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    scale = "i => i.getBoundingClientRect().width / i.viewBox.baseVal.width * (i.matches('.plot') ? 90 : 12)"
    smallest = browser.evaluate(f"Math.min(...[...document.querySelectorAll('.pictures figure > svg')].map({scale}))")
    assert smallest > 8


@pytest.mark.parametrize("dark", [False, True])
def test_verdicts_can_be_read_in_light_and_in_darkness(browser, address, dark):
    """Contrast of at least 4.5 between a verdict's word and its ground (WCAG 2.1, 1.4.3)."""
    browser.load(address, width=PROJECTOR, dark=dark)
    colors = """[...document.querySelectorAll('.verdict:not(.not-run, .not-judged)')].map(e => {
        const s = getComputedStyle(e);
        return [s.color, s.backgroundColor].map(c => c.match(/[0-9.]+/g).slice(0, 3).map(Number)) })"""
    pairs = browser.evaluate(colors)
    assert len(pairs) > 6
    assert min(contrast(*pair) for pair in pairs) >= 4.5


def contrast(first: list[float], second: list[float]) -> float:
    """Source: WCAG 2.1, definitions of contrast ratio and relative luminance."""

    def luminance(color: list[float]) -> float:
        shares = [value / 255 for value in color]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted([luminance(first), luminance(second)])
    return (light + 0.05) / (dark + 0.05)


def test_paper_is_white_whatever_the_screen_and_figures_stay_whole(browser, address, tmp_path):
    browser.load(address, width=PROJECTOR, media="print", dark=True)
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    kept = "[...document.querySelectorAll('figure')].every(f => getComputedStyle(f).breakInside === 'avoid')"
    assert browser.evaluate(kept) is True
    browser.print(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_the_keyboard_reaches_the_verdicts_first(browser, address):
    browser.load(address, width=PROJECTOR)
    for kind in ("rawKeyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert browser.evaluate("document.activeElement.getAttribute('href')") == "#verdicts"
    assert browser.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
