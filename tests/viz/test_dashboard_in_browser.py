"""The dashboard in a real browser: as a page without a network, in a notebook's export, and live in JupyterLab.

What it shows is read back from it and compared with the values that it was given.
"""

import base64
import itertools
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from lewm_core.diagnostics import retrieval
from lewm_core.runner.pages import to_html
from lewm_core.viz import dashboard, style
from lewm_core.viz.dashboard import Dashboard
from tests.viz.played import HOSTILE, OFFERED, playback, squares
from tests.viz.test_in_browser import (  # noqa: F401  (a fixture among them)
    browser_page,
    decoded,
    expect,
    jupyterlab,
    notebook_of,
    private,
    pytestmark,
    run_all,
    until,
)

CANARY = "[window.canary, ...[...document.querySelectorAll('iframe')].map(f => f.contentWindow.canary)]"
DARK_WHILE_AWAY = """async () => {  // as where a theme is exchanged: without a width for less than a frame
    const dashboard = document.querySelector('iframe[title^=Dashboard]');
    dashboard.style.display = 'none';
    document.body.dataset.jpThemeLight = 'false';
    for (let i = 0; i < 5; i++) await null;
    dashboard.style.display = '';
}"""
WIDTHS, SCHEMES = (1400, 400), ("light", "dark")
STEP_MS, OPEN_MS = 50, 300
CELLS = ("""\
import pathlib
from lewm_core.viz.dashboard import Dashboard
from tests.viz.played import playback, squares

pathlib.Path("data").mkdir()
board = Dashboard(playback(squares(pathlib.Path("data"))), "made by a test", ["A"], first=[4])""", "board")


@pytest.fixture(scope="module")
def board(tmp_path_factory) -> Dashboard:
    return Dashboard(playback(squares(tmp_path_factory.mktemp("squares"))), HOSTILE, ["A", "B"], first=[4])


@pytest.fixture(scope="module")
def path(board, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "dashboard.html"
    board.saved(path, 5)
    return path


@pytest.fixture
def page(path, tmp_path):
    with browser_page(tmp_path / "page.png", viewport={"width": 1400, "height": 1300}, offline=True) as page:
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
        page.goto(f"file://{path}")
        expect(page.locator("#where")).not_to_be_empty()
        yield page
        assert page.errors == [] and page.evaluate(CANARY) == [None]


def frame_of(view) -> int:
    return int(re.match(r"frame (\d+) of", view.locator("#where").inner_text())[1])


def shown(view, section: str, title: str, nth: int = 0) -> np.ndarray:
    """(h, w, 3): the picture with that title, as it is drawn."""
    figure = view.locator(f"#{section} figure:visible", has_text=title).nth(nth)
    url = figure.locator("canvas").evaluate("canvas => canvas.toDataURL('image/png')")
    return decoded(base64.b64decode(url.split(",")[1]))


def same_picture(image: np.ndarray, sheet: dict, i: int) -> bool:
    """Whether an enlarged picture is picture i of a sheet; decoders of JPEG differ by a little."""
    whole = decoded(base64.b64decode(sheet["src"].split(",")[1]))
    y, x = i // sheet["columns"] * sheet["height"], i % sheet["columns"] * sheet["width"]
    zoom = image.shape[0] // sheet["height"]
    small = image[zoom // 2 :: zoom, zoom // 2 :: zoom].astype(float)
    return np.abs(small - whole[y : y + sheet["height"], x : x + sheet["width"]]).max() <= 8


def test_every_picture_is_that_of_the_frame(page, board):
    given = board.value(4, OFFERED)
    for frame in range(given["frames"]):
        page.evaluate("frame => go(frame)", frame)
        assert frame_of(page) == frame
        for title, name in (("RGB", "rgb"), ("Depth", "depth"), ("Mask", "mask")):
            assert same_picture(shown(page, "recorded", title), given[name], frame)
        assert same_picture(shown(page, "recorded", "Persistence"), given["rgb"], min(frame, 2))
        for nth, name in enumerate(("A", "B")):
            own, step = given["conditions"][name], frame - 3
            pictures = [shown(page, "predicted", title, nth) for title in ("Retrieved", "Decoded")]
            if step < 0:
                assert all(same_picture(picture, given["rgb"], frame) for picture in pictures)
                continue
            found = own["scopes"]["global"]
            assert same_picture(pictures[0], own["found"], found["tile"][step])
            assert same_picture(pictures[1], own["decoded"], step)
            expect(page.locator("#predicted article").nth(nth)).to_contain_text(found["name"][step])
    page.locator("#scope").select_option("episode")
    own = given["conditions"]["A"]
    assert same_picture(shown(page, "predicted", "Retrieved"), own["found"], own["scopes"]["episode"]["tile"][-1])


def test_tracks_are_drawn_where_the_points_are(page, board):
    """The tracks' picture is that of the frame, but around the points that are seen."""
    page.evaluate("go(0)")  # no trails yet
    tracks, frame = shown(page, "recorded", "Tracks"), shown(page, "recorded", "RGB")
    changed = np.abs(tracks.astype(int) - frame).max(2) > 20
    data, own = board.playback.data, board.playback.data.episode(4)
    points = (data["tracks_fg"][own][0][data["visible_fg"][own][0].astype(bool)] + 0.5) * changed.shape[0] / 32
    y, x = np.nonzero(changed)
    off = np.sqrt((x[:, None] + 0.5 - points[:, 0]) ** 2 + (y[:, None] + 0.5 - points[:, 1]) ** 2)
    assert off.min(1).max() < 4 and np.mean(off.min(0) < 2.5) > 0.9


def test_keys_move_and_play(page, board):
    last = board.value(4, OFFERED)["frames"] - 1
    for key, frame in (("Home", 0), ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", last),
                       ("ArrowRight", last), ("Home", 0), ("ArrowLeft", 0)):
        page.keyboard.press(key)
        assert frame_of(page) == frame
    page.locator("#time").focus()  # a slider has keys of its own: they move as far
    page.keyboard.press("ArrowRight")
    assert frame_of(page) == 1 and page.locator("#time").input_value() == "1"
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    until(lambda: frame_of(page) >= 3, 5)
    page.keyboard.press(" ")
    stopped = frame_of(page)
    page.wait_for_timeout(500)
    assert frame_of(page) == stopped
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_play_goes_round_or_stops_at_the_end_and_faster(page, board):
    last = board.value(4, OFFERED)["frames"] - 1
    page.locator("#speed").select_option("4")
    page.get_by_role("button", name="Play").click()
    until(lambda: frame_of(page) == last, 5)
    until(lambda: frame_of(page) < last, 5)
    page.locator("#loop").uncheck()
    until(lambda: page.get_by_role("button", name="Play", exact=True).count() == 1, 5)
    assert frame_of(page) == last
    page.get_by_role("button", name="Play", exact=True).click()  # from the start again
    until(lambda: 0 < frame_of(page) < last, 5)


def test_another_episode_is_shown_and_its_text_stays_text(page, board):
    labels = page.locator("#episode option").all_inner_texts()
    assert labels[0].startswith("push the square 4") and labels[1] == f"{HOSTILE} · square1 · unseen"
    page.locator("#episode").select_option(index=1)
    expect(page.locator("#task")).to_have_text(HOSTILE)
    expect(page.locator("#facts")).to_contain_text("square1 · 7 frames")
    assert page.locator("#time").get_attribute("max") == "6"
    page.keyboard.press("End")
    assert frame_of(page) == 6
    assert same_picture(shown(page, "recorded", "RGB"), board.value(1, OFFERED)["rgb"], 6)
    expect(page.locator("#caption")).to_have_text(HOSTILE)
    assert page.locator("img").count() == 0


def test_the_page_runs_no_script_but_its_own(page):
    """Were a text ever taken for HTML, the policy would still stop it."""
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.canary = 1\">')")
    page.wait_for_timeout(300)
    assert page.evaluate("window.canary") is None and page.errors
    page.errors.clear()


def test_conditions_can_be_chosen_and_the_curve_is_theirs(page, board):
    given = board.value(4, OFFERED)
    for chosen in (["A", "B"], ["A", "B", "P"], ["P"], []):
        for name in OFFERED:
            page.locator(f"#conditions input[value={name}]").set_checked(name in chosen)
        expect(page.locator("#predicted article")).to_have_count(len(chosen))
        drawn = page.locator("#curve path").evaluate_all("paths => paths.map(path => path.dataset.line)")
        assert drawn == (["persistence", *chosen] if chosen else [])
    page.locator("#conditions input[value=A]").check()
    ends = page.locator("#curve path").evaluate_all("paths => paths.map(path => path.getAttribute('d'))")
    heights = [[float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", d)] for d in ends]
    own = given["conditions"]["A"]
    curve = np.array(own["distance"]) / own["spread"]
    assert np.corrcoef(heights[1], curve)[0, 1] == pytest.approx(-1, abs=1e-3)  # y points down
    page.locator("#measure").select_option("object")
    drawn = page.locator("#curve path").evaluate_all("paths => paths.map(path => path.dataset.line)")
    assert drawn == ["persistence", "A", "A floor"]
    area = page.locator("#curve .pick-area").bounding_box()
    page.mouse.click(area["x"] + area["width"] - 1, area["y"] + 20)
    assert frame_of(page) == given["frames"] - 1
    cells = page.locator("#now tbody tr").first.locator("td").all_inner_texts()
    assert cells[0] == f"{curve[-1]:.2f}" and cells[2] == f"{own['places']['object']['error'][-1]:.1f}"
    steady = page.locator("#stability tbody tr").first.locator("td").all_inner_texts()
    stability = own["scopes"]["global"]["stability"]
    assert steady[0] == f"{stability['same_episode']:.0f}" and steady[4] == f"{stability['unique_frames']:.0f}/7"


def test_tags_are_those_of_the_study(page):
    values = (0.5, 0.52, 0.8, 1.0, 1.04, 1.5)
    for ratios in itertools.product(values, repeat=2):
        named = dict(zip("AB", ratios, strict=True))
        assert page.evaluate("ratios => tags(ratios)", named) == retrieval.tags(named)
    assert page.evaluate("tags({A: NaN, B: 1})") == retrieval.tags({"A": np.nan, "B": 1.0}) == []
    assert page.evaluate("tags({})") == []
    shown = page.locator("#tags li").all()
    assert shown and all(tag.get_attribute("title") for tag in shown)


def test_names_of_many_lines_stand_apart_and_at_their_ends_where_there_is_room(page):
    places = page.evaluate("""() => {
        const at = [20, 100, 101, 196, 197], chart = svg("svg", {}, document.body);
        nameLines(chart, at.map(y => ({name: String(y), colour: "red", values: [y]})), {right: 0, bottom: 200}, y => y);
        return [...chart.children].map(text => [text.textContent, text.getAttribute("y") - 4]);
    }""")
    assert places == [["20", 20], ["100", 100], ["101", 112], ["196", 188], ["197", 200]]
    written = page.evaluate("[NaN, null, undefined, Infinity, -0.001, -0.5].map(x => fixed(x))")
    assert written == [*"––––", "0.00", "−0.50"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_and_names_its_controls(path, tmp_path, width, scheme):
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "offline": True}
    with browser_page(tmp_path / "page.png", **options) as page:
        page.goto(f"file://{path}")
        expect(page.locator("#where")).not_to_be_empty()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ground = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
        assert (max(map(int, re.findall(r"\d+", ground))) < 80) == (scheme == "dark")
        for control in page.locator("button, select, input").all():
            box = control.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width
        for role, name in (("button", "Play"), ("slider", "Frame"), ("combobox", "Episode"), ("combobox", "Speed"),
                           ("combobox", "Retrieved from"), ("combobox", "Curve of"), ("checkbox", "A"),
                           ("checkbox", "Loop"), ("button", "First frame"), ("button", "One frame on")):
            assert page.get_by_role(role, name=name, exact=True).count() == 1, name
        assert all(page.locator("canvas").evaluate_all("of => of.map(c => c.getAttribute('aria-label'))")[:5])


def test_a_step_takes_little_time(page):
    took = page.evaluate("""() => {
        const took = [];
        for (let i = 0; i < 30; i++) {
            const start = performance.now();
            go(i % 10);
            took.push(performance.now() - start);
        }
        return took.sort((a, b) => a - b)[15];
    }""")
    assert took < STEP_MS


def test_the_export_holds_the_page(tmp_path):
    client = NotebookClient(notebook_of(*CELLS), timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    (tmp_path / "export.html").write_text(to_html(client.execute(), "dashboard"))
    options = {"viewport": {"width": 1400, "height": 1500}, "offline": True, "color_scheme": "dark"}
    with browser_page(tmp_path / "export.png", **options) as page:
        page.goto(f"file://{tmp_path}/export.html", wait_until="load")
        element = page.locator("iframe[title^=Dashboard]")
        view = element.content_frame
        expect(view.locator("#facts")).to_contain_text("square4 · 10 frames")
        assert view.locator("#episode option").count() == dashboard.STAND_IN
        view.locator("#episode").select_option(index=1)
        expect(view.locator("#task")).to_have_text(HOSTILE)
        view.locator("body").press("End")
        assert frame_of(view) == 6
        assert view.locator("html").get_attribute("data-theme") == "light"  # as the export is, not the system
        until(lambda: abs(element.bounding_box()["height"] - view.locator("body").bounding_box()["height"]) < 10)
        assert page.evaluate(CANARY) == [None, None]
        line = view.locator("#curve path[data-line=A]")
        expect(line).to_have_attribute("stroke", style.colour("A"))
        page.evaluate(DARK_WHILE_AWAY)
        expect(view.locator("html")).to_have_attribute("data-theme", "dark")
        expect(line).to_have_attribute("stroke", style.on_dark(style.colour("A")))


def test_the_dashboard_works_in_jupyterlab(board, tmp_path):
    nbformat.write(notebook_of(*CELLS), tmp_path / "inspectors.ipynb")
    options = {"viewport": {"width": 1400, "height": 2000}}
    with jupyterlab(tmp_path) as address, browser_page(tmp_path / "lab.png", **options) as page:
        run_all(page, address)
        view = page.locator(".lewm-dashboard iframe").content_frame
        expect(view.locator("#facts")).to_contain_text("square4 · 10 frames", timeout=60_000)
        expect(view.locator("#episode")).to_be_hidden()  # Python has one of its own
        menu, around = page.locator(".lewm-dashboard select"), page.locator(".lewm-dashboard")
        view.locator("#facts").click()
        page.keyboard.press("End")
        assert frame_of(view) == 9 and view.locator("article").count() == 1
        around.locator(".widget-checkbox", has_text="B").locator("input").check()
        expect(view.locator("article")).to_have_count(2, timeout=60_000)
        assert frame_of(view) == 9  # it stays where the reader was
        shown_b = shown(view, "predicted", "Decoded", 1)
        assert same_picture(shown_b, board.value(4, OFFERED)["conditions"]["B"]["decoded"], 6)
        took = []
        for label in menu.locator("option").all_inner_texts()[1:]:
            start = page.evaluate("performance.now()")
            menu.select_option(label=label)
            expect(view.locator("#task")).to_have_text(label.replace("\xa0", " ").split(" · ")[0])
            took.append(page.evaluate("performance.now()") - start)
        assert np.median(took) < 3 * OPEN_MS, took  # with the driver's own time
        menu.select_option(index=1)
        expect(view.locator("#task")).to_have_text(HOSTILE)
        assert set(page.evaluate(CANARY)) == {None}
        assert view.locator("html").get_attribute("data-theme") == "light"
        menu.select_option(index=0)
        line = view.locator("#curve path[data-line=A]")
        expect(line).to_have_attribute("stroke", style.colour("A"))
        page.get_by_role("menuitem", name="Settings", exact=True).click()
        page.get_by_text("Theme", exact=True).first.hover()
        page.get_by_text("JupyterLab Dark", exact=True).click()
        expect(view.locator("html")).to_have_attribute("data-theme", "dark")
        expect(line).to_have_attribute("stroke", style.on_dark(style.colour("A")))
