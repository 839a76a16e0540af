"""The page says everything it should of every claim, stands alone, and is sound HTML."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from bnexp.report.page import answers, build
from bnexp.report.pictures import picture, save_figures
from bnexp.report.svg import shared
from bnexp.report.words import claim_row

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Tags(HTMLParser):
    """Every opening tag with its attributes, in order; says when tags are not closed in the order they were opened."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.misnested: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, {name: value or "" for name, value in attributes}))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.misnested.append(tag)


@pytest.fixture(scope="module")
def tags(world) -> Tags:
    return Tags(world.html)


def section_of(world, name: str) -> str:
    """One claim's or variant's part of the page."""
    rest = world.html.split(f'id="claim-{name}"')[1]
    return rest.split("<section class=")[0]


def text_of(html: str) -> str:
    without = re.sub(r"<svg.*?</svg>|<[^>]+>", " ", html, flags=re.S)
    return " ".join(unescape(without).split())


def test_tags_are_closed_in_the_order_they_were_opened(tags):
    assert tags.misnested == []
    assert tags.open == []


def test_no_id_occurs_twice_and_every_reference_leads_somewhere(tags):
    ids = Counter(attributes["id"] for _, attributes in tags.tags if "id" in attributes)
    assert [name for name, count in ids.items() if count > 1] == []
    named = {value for _, a in tags.tags for key, value in a.items() if key.endswith("href") and value.startswith("#")}
    named |= {f"#{a[key]}" for _, a in tags.tags for key in ("aria-labelledby",) if key in a}
    assert {name[1:] for name in named} - set(ids) == set()
    assert len(named) > 20


def test_the_page_loads_nothing_from_anywhere(tags, world):
    links = [
        value
        for _, attributes in tags.tags
        for key, value in attributes.items()
        if key in ("src", "href", "xlink:href")
    ]
    assert [link for link in links if re.match(r"(?i)(\w+:)?//|https?:|file:", link)] == []
    assert not {"script", "iframe", "object"} & {tag for tag, _ in tags.tags}
    images = [attributes["href"] for tag, attributes in tags.tags if tag == "image"]
    assert [image[:40] for image in images if not image.startswith("data:image/png;base64,")] == []
    assert not [tag for tag, _ in tags.tags if tag == "img"]
    assert "@import" not in world.html


def test_the_verdict_table_comes_before_every_claim_and_has_one_row_each(world):
    table = world.html.split("<tbody")[1].split("</tbody>")[0]
    assert table.count("<tr") == len(world.judged) == world.html.count('<section class="claim')
    assert world.html.index("</tbody>") < world.html.index('<section class="claim')


@pytest.mark.parametrize(
    ("name", "outcome", "effect"),
    [
        ("speed", "SUPPORTED", "4.00 × [4.00, 4.00]"),
        ("refuted", "CONTRADICTED", "0.010 points [-0.001, 0.021]"),
        ("fragile", "SUPPORTED", "0.105 [0.0"),
        ("gated", "INCONCLUSIVE", "0.000 [-0.00"),
        ("law", "SUPPORTED", "exponent -0.500 [-0.511, -0.489]"),
        ("identity", "SUPPORTED", "largest error 1.0e-13"),
        ("missing", "NOT RUN", ""),
        ("broken", "NOT JUDGED", ""),
        ("unstarted", "NOT RUN", ""),
    ],
)
def test_every_claim_shows_its_verdict_in_a_word_with_a_sign_and_its_effect(world, name, outcome, effect):
    section = section_of(world, name)
    sign = outcome.lower().replace(" ", "-")
    assert f'href="#sign-{sign}"/></svg>{outcome}</span>' in section
    assert f'id="sign-{sign}"' in world.html
    assert effect in text_of(section)


def test_an_analysis_that_broke_down_says_why_and_where_and_costs_no_other_claim_its_verdict(world):
    text = text_of(section_of(world, "broken"))
    assert "the analysis broke down: KeyError: 'no such run' (conftest.py, line" in text
    assert "this judges them again and trains nothing: bnexp reproduce broken budget=quick" in text
    assert world.of("speed").verdicts


def test_every_claim_shows_what_was_declared(world):
    for name in world.claims:
        claim, text = world.claims[name], text_of(section_of(world, name))
        endpoints = [endpoint.estimand[1:] for endpoint in claim.endpoints.values()]
        told = (
            claim.statement,
            claim.source,
            claim.formula,
            claim.overturn,
            *claim.caveats,
            *claim.deviations,
            *endpoints,
        )
        assert [words for words in told if words not in text] == []
        assert (claim.disputed_by or "Nobody we know of") in text


def test_a_verdict_comes_with_its_reason_gates_numbers_and_notes(world):
    text = text_of(section_of(world, "speed"))
    assert world.of("speed").primary.reason in text
    assert "✓ passed the baseline learns at all" in text
    assert "levels 93 %" in text
    assert "a note about these runs" in text
    assert "✗ FAILED the noise was large enough" in text_of(section_of(world, "gated"))


def test_every_claim_has_its_pictures_each_described_and_captioned(world):
    expected = {
        "speed": 1 + 2 + 1 + 1,  # its own; interval and seeds of the primary endpoint, interval of the other; tuning
        "refuted": 1 + 2 + 1 + 1,
        "gated": 1 + 2,
        "law": 1 + 2,
        "identity": 1 + 1,
        "missing": 0,
    }
    figures = {name: re.findall(r"<figure.*?</figure>", section_of(world, name), flags=re.S) for name in expected}
    assert {name: len(found) for name, found in figures.items()} == expected
    for figure in itertools.chain(*figures.values()):
        kind = re.search(r'<svg class="(\w+)" viewBox="[^"]+"(?: width="\d+")? role="img" aria-label="[^"]+">.*</svg>', figure)[1]
        assert kind in ("plot", "interval", "every")
        assert re.search(r"<figcaption>\S", figure) or kind == "interval"  # what all of them show is said at the first ones


def test_a_claim_without_all_runs_says_how_many_and_what_runs_them(world):
    assert "3 of 5 runs missing" in text_of(section_of(world, "missing"))
    assert "bnexp reproduce missing budget=quick" in section_of(world, "missing")
    assert "never started" in text_of(section_of(world, "unstarted"))
    assert "no runs with budget=quick" in text_of(section_of(world, "unafforded"))


def test_every_run_is_named_and_none_is_linked_to(world, tags):
    assert all(a["href"].startswith("#") for tag, a in tags.tags if tag == "a")
    text = text_of(section_of(world, "speed"))
    braces = re.findall(r"([\w.-]+-s)\{([^}]+)\}", text)
    named = {start + end for start, ends in braces for end in ends.split(",")}
    assert {cell.run_id for cell in world.of("speed").runs.cells} == named


def test_a_picture_is_an_element_of_the_page_whose_styles_markers_and_areas_are_all_there(world):
    plots = re.findall(r'<svg class="plot".*?</svg>', world.html, flags=re.S)
    assert len(plots) > 6
    ids = set(re.findall(r' id="([^"]+)"', world.html))
    style = world.html.partition("</style>")[0]
    for root in map(ElementTree.fromstring, plots):
        assert len(list(root.iter("path"))) > 2
        used = {name for element in root.iter() if element is not root for name in element.get("class", "").split()}
        rules = {name: re.search(rf"\.{name}\{{([^}}]+)\}}", style)[1] for name in used}
        assert set(re.findall(r"url\(#(\w+)\)", "".join(rules.values()))) <= ids
    assert len(ids) == len(re.findall(r' id="', world.html))


def test_what_pictures_have_in_common_is_said_once():
    def draw(figure):
        figure.subplots().plot([0, 1, 2], [0, 5, 3], "o-", color="#123456")

    svg = picture(draw, "a caption").drawing
    page, rules, shapes = shared(f"<p>{svg}</p>{svg}")
    assert (rules.count("#123456"), page.count("#123456"), shapes.count("<marker"), page.count("<defs")) == (1, 0, 1, 0)
    (name,) = re.findall(r'<marker id="(\w+)"', shapes)
    (rule,) = re.findall(rf"\.(\w+)\{{marker:url\(#{name}\)\}}", rules)
    assert len(re.findall(rf'<path class="{rule}" d=', page)) == 2
    assert "#123456" in shapes  # what occurs once stays where it is


def test_a_lighter_picture_has_every_word_and_colour_and_keeps_its_references():
    def draw(figure):
        axes = figure.subplots()
        axes.plot([0, 1, 2], [0.123456, 5, 3], "o-", color="#0072B2", label="with BN > without")
        axes.plot(range(500), range(500), ".", color="#D55E00")
        axes.set_title("twice 0.123456")
        axes.legend()

    svg = picture(draw, "a caption").drawing
    for word in ("twice 0.123456", "with BN &gt; without", "#0072b2", "data:image/png;base64,"):
        assert word in svg
    root = ElementTree.fromstring(svg)
    ids = {element.get("id") for element in root.iter()} - {None}
    assert set(re.findall(r"""(?:url\(|href=")#([^")]+)""", svg)) == ids
    assert "DejaVu Sans'" not in svg


def test_only_the_primary_endpoint_is_unfolded_and_details_are_not_printed(world):
    sections = re.findall(r'<section class="claim.*?</section>', world.html, re.S)
    assert any("Secondary endpoint" in section for section in sections)
    for section in sections:
        open_part = re.sub(r"<details.*</details>", "", section, flags=re.S)
        assert "Secondary endpoint" not in open_part
        assert "<h3>Primary endpoint" in open_part
        assert section.count("<details") == section.count("</details>")
    printed = world.html.partition("@media print")[2]
    assert re.search(r"\.more[^{]*\{ display: none; \}", printed)


def test_a_figure_that_cannot_be_drawn_says_so_in_its_place_and_costs_nothing_else(world, tmp_path):
    def draw(*_):
        raise RuntimeError("no <room>")

    law = world.of("law")
    html = build([replace(law, claim=replace(law.claim, draw=draw))], tmp_path).page.read_text()
    assert "The figure could not be drawn: RuntimeError: no &lt;room&gt;" in html
    assert (html.count("<figure"), html.count('class="interval"') + html.count('class="every"')) == (3, 2)
    assert law.primary.reason in unescape(html)


def test_figures_are_written_as_svg_and_png_and_one_that_fails_is_named(world, tmp_path):
    def draw(*_):
        raise RuntimeError("no room")

    law = world.of("law")
    failing = replace(law, claim=replace(law.claim, id="failing", draw=draw))
    written = save_figures([world.of("missing"), failing, law], tmp_path / "figures")
    assert list(written) == ["failing", "law"]
    assert written["failing"].startswith("RuntimeError: no room (test_page.py, line ")
    assert written["law"] == str(tmp_path / "figures" / "law.png")
    assert sorted(file.name for file in (tmp_path / "figures").iterdir()) == ["law.png", "law.svg"]


def test_headings_do_not_skip_a_level_and_there_is_one_first(tags):
    levels = [int(tag[1]) for tag, _ in tags.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(after - before for before, after in itertools.pairwise(levels)) <= 1


def test_every_heading_of_a_table_says_what_it_heads(tags):
    assert {a.get("scope") for tag, a in tags.tags if tag == "th"} == {"col", "row"}


def test_statements_are_words_and_never_markup(world):
    assert "&lt;angle brackets&gt; &amp; an ampersand" in world.html
    assert "<angle" not in world.html


@pytest.mark.slow
def test_the_same_records_make_the_same_bytes(world, tmp_path):
    few = [world.of("law")]
    first = build(few, tmp_path / "report").page.read_bytes()
    assert build(few, tmp_path / "report").page.read_bytes() == first


def test_no_path_of_this_machine_is_on_the_page(world):
    assert str(world.runs_dir) not in world.html


def test_the_page_says_how_much_tuning_each_arm_needs(world):
    (table,) = re.findall(r'<table class="tuning">.*?</table>', section_of(world, "speed"), flags=re.S)
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table.split("<tr>")[1:]]
    assert rows == [
        ["Best of random draws", "1 draw", "3 draws", "5 draws", "Best value", "Draws to within a tenth more steps of it"],
        # One value of four needs 50 steps, the others 800: 50 * 16 ** (3 / 4) ** draws.
        ["control", "400 steps", "161 steps", "97 steps", "50 steps", "12"],
        ["subject", "400 steps", "161 steps", "97 steps", "50 steps", "12"],
    ]


def test_every_claim_opens_with_its_sentence_and_how_stable_its_verdict_is(world):
    for one in world.judged:
        text = text_of(section_of(world, claim_row(one).anchor))
        assert (one.sentence != "") == bool(one.verdicts)
        place = text.index(one.sentence)
        if one.verdicts:
            assert place < text.index(one.primary.outcome) < text.index("Who says it")
    assert "SUPPORTED as claimed · comes out again in 100 % of re-draws" in text_of(section_of(world, "speed"))
    fragile = text_of(section_of(world, "fragile"))
    assert re.search(r"SUPPORTED as claimed · fragile, comes out again in 5\d % of re-draws", fragile)
    assert "re-draws" not in text_of(section_of(world, "identity"))


def test_a_variant_stands_below_its_claim_marked_and_is_not_counted(world):
    ids = re.findall(r'<section class="(claim|claim variant)" id="claim-([^"]+)"', world.html)
    assert ids[ids.index(("claim", "speed")) + 1] == ("claim variant", "speed~subject=norm=ghost")
    assert [name for kind, name in ids if kind == "claim variant"] == ["speed~subject=norm=ghost"]
    text = text_of(section_of(world, "speed~subject=norm=ghost"))
    assert "variant subject=norm=ghost Variant: The statement of speed" in text
    assert world.of("speed subject=norm=ghost").primary is not None
    table = text_of(world.html.split("<tbody")[1].split("</tbody>")[0])
    assert "variant subject=norm=ghost SUPPORTED" in table
    assert "10 claims: 4 supported" in text_of(world.html)


def test_claims_of_algebra_come_last_whatever_their_section_and_provenance_after_them(world):
    ids = re.findall(r'<section class="claim[^"]*" id="claim-([^"]+)"', world.html)
    assert (ids[0], ids[-1]) == ("gated", "identity")
    assert world.html.index('id="claim-identity"') < world.html.index("Where these numbers come from")


@pytest.fixture
def front(world, tmp_path):
    """The page where the world's claims have the names of those that open it."""
    known = [
        world.named("law", "pinned_moments"),
        world.named("speed", "fig1_speed"),
        replace(world.of("speed subject=norm=ghost"), sentence="The variant's."),
        world.named("fragile", "speed_anywhere"),
        world.named("gated", "fig1_stability"),
        world.of("refuted"),
        world.of("identity"),
    ]
    return build(known, tmp_path).page.read_text(encoding="utf-8")


def test_the_page_opens_with_three_sentences_then_the_surface_then_the_papers_experiment_then_the_table(front):
    header = text_of(front.split("<header>")[1].split("</header>")[0])
    told = [header.index(f"The sentence of {name} & what it found") for name in ("fig1_speed", "pinned_moments", "refuted")]
    assert told == sorted(told)
    assert header.count("The sentence of") == 3
    assert "fig1_speed, supported, 100 %" in header
    argued, between = front.split("</header>")[1].split('id="verdicts"')[0].split('id="surface-title"')
    assert "fits Ioffe" in text_of(argued)
    assert between.count("<figure") == 3
    places = [text_of(between).index(f"The sentence of {name}") for name in ("speed_anywhere", "fig1_speed", "fig1_stability")]
    assert places == sorted(places)
    assert Tags(front).misnested == []


def test_without_the_surface_and_the_papers_claims_the_page_opens_with_what_was_judged(world):
    assert "At which settings?" not in world.html
    assert "The paper’s experiment" not in world.html
    header = text_of(world.html.split("<header>")[1].split("</header>")[0])
    assert "The sentence of refuted & what it found: contradicted." in header


def test_the_third_sentence_is_chosen_by_a_rule_of_which_fragile_claims_and_those_of_no_layer_are_no_part(world):
    def third(*names):
        return [one.claim.id for one in answers([world.of(name) for name in names])]

    assert third("law", "speed", "refuted") == ["refuted"]
    assert third("fragile", "law", "speed") == ["law"]
    refuted = world.of("refuted")
    of_no_layer = replace(refuted, claim=replace(refuted.claim, subject=""))
    assert [one.claim.id for one in answers([of_no_layer, world.of("law")])] == ["law"]
    assert third("fragile", "identity", "gated", "missing", "speed subject=norm=ghost") == []


def test_a_sentence_is_said_once(world):
    names = {"law": "fig1_speed", "speed": "pinned_moments"}
    smoke = [replace(world.named(name, new), sentence="Nothing.") for name, new in names.items()]
    assert [one.claim.id for one in answers(smoke)] == ["fig1_speed"]
