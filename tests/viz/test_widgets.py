"""The inspectors draw what they say, at the right pixels, and leave a picture behind where no kernel runs."""

import base64
import re
import threading
import time

import cv2
import ipywidgets
import nbformat
import numpy as np
import pytest
from nbconvert import HTMLExporter

from lewm_core.signals import geometry
from lewm_core.viz import pixels, widgets
from tests.helpers import four_points as packet

SIZE, FRAMES = 56, 10


@pytest.fixture
def episodes():
    return {"e0": packet(), "e1": packet("e1", 4)}


def image(inspector):
    return cv2.imdecode(np.frombuffer(inspector.image.value, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_moving_the_slider_shows_exactly_what_the_drawing_function_draws(episodes):
    inspector = widgets.inspect_tracks(episodes)
    inspector.controls["queries"].value = "uniform"
    data, signals = episodes["e0"]
    seen = set()
    for frame in (0, 3, 7):
        for trail in (0, 4):
            inspector.controls["frame"].value = frame
            inspector.controls["trail"].value = trail
            expected = pixels.draw_tracks(data.frames[frame], signals.tracks, signals.visible, frame, trail, zoom=8)
            assert np.array_equal(image(inspector), expected)
            seen.add(inspector.image.value)
    assert len(seen) == 5  # in frame 0 there is no trail yet


def test_a_point_is_drawn_at_its_pixel_and_nowhere_else():
    frame = np.zeros((SIZE, SIZE, 3), np.uint8)
    tracks = np.array([[[10.0, 40.0]]], np.float32)
    for zoom in (1, 8):
        drawn = pixels.draw_tracks(frame, tracks, np.ones((1, 1), bool), 0, zoom=zoom).any(-1)
        rows, cols = np.nonzero(drawn)
        assert (cols.mean(), rows.mean()) == pytest.approx((10.5 * zoom - 0.5, 40.5 * zoom - 0.5), abs=0.15)
        assert len(rows) < 80


def test_half_pixels_are_respected():
    frame = np.zeros((SIZE, SIZE, 3), np.uint8)
    tracks = np.array([[[10.5, 39.75]]], np.float32)
    weight = pixels.draw_tracks(frame, tracks, np.ones((1, 1), bool), 0, zoom=8).astype(float).sum(-1)
    y, x = np.indices(weight.shape)
    assert (weight * x).sum() / weight.sum() == pytest.approx(11 * 8 - 0.5, abs=0.3)
    assert (weight * y).sum() / weight.sum() == pytest.approx(40.25 * 8 - 0.5, abs=0.3)


def test_the_trail_follows_the_track_and_breaks_where_the_point_was_lost():
    frame = np.zeros((SIZE, SIZE, 3), np.uint8)
    tracks = np.stack([np.array([[4.0 * t + 4, 20.0]], np.float32) for t in range(10)])
    visible = np.ones((10, 1), bool)
    drawn = pixels.draw_tracks(frame, tracks, visible, 9, trail=5).any(-1)
    columns = np.nonzero(drawn.any(0))[0]
    assert columns.min() == pytest.approx(tracks[4, 0, 0], abs=1) and drawn[20, 20:40].all()
    visible[6] = False
    broken = pixels.draw_tracks(frame, tracks, visible, 9, trail=5).any(-1)
    assert not broken[:, 26:31].any() and broken[20, 33:40].all() and broken[20, 21:24].any()


def test_on_object_hides_the_points_outside_the_mask(episodes):
    _, signals = episodes["e0"]
    shown = pixels.shown_points
    assert shown(signals.tracks, signals.visible, 0).tolist() == [0, 1, 2, 3]
    assert shown(signals.tracks, signals.visible, 0, signals.mask[0]).tolist() == [0, 1]
    assert shown(signals.tracks, signals.visible, 5, signals.mask[5]).tolist() == [0]
    assert shown(signals.tracks, signals.visible, 9, np.ones((SIZE, SIZE), bool)).tolist() == [0, 1, 2]  # one left
    inspector = widgets.inspect_tracks(episodes)
    inspector.controls["queries"].value = "uniform"
    inspector.controls["on_object"].value = True
    changed = (image(inspector) != 100).any(-1)
    assert changed[20 * 8:32 * 8, 20 * 8:32 * 8].sum() == changed.sum() > 0
    assert "2 of 4 points visible on the object" in inspector.text.value


def test_another_episode_has_its_own_length(episodes):
    inspector = widgets.inspect_tracks(episodes)
    inspector.controls["frame"].value = 9
    inspector.controls["episode"].value = "e1"
    assert inspector.controls["frame"].max == 3 and "e1, frame 3 of 4" in inspector.text.value
    inspector.controls["episode"].value = "e0"
    assert inspector.controls["frame"].max == 9


def test_a_missing_signal_is_said_and_not_drawn():
    signals = {"e0": packet(missing=["tracks", "tracks_fg", "mask"])}
    inspector = widgets.inspect_tracks(signals)
    assert "No tracks, for a reason." in inspector.text.value and (image(inspector) == 100).all()
    masks = widgets.inspect_masks(signals)
    assert "No mask, for a reason." in masks.text.value and (image(masks) == 100).all()


@pytest.mark.parametrize(("region", "px"), [(1, 0), (2, 8), (3, 20)])
def test_masks_show_the_region_that_the_loss_reads(episodes, region, px):
    inspector = widgets.inspect_masks(episodes)
    inspector.controls["region"].value = list(widgets.REGIONS)[region]
    inspector.controls["opacity"].value = 1.0
    expected = geometry.dilate(geometry.to_supervision(episodes["e0"][1].mask[:1]), px)[0].repeat(8, 0).repeat(8, 1)
    assert np.array_equal((image(inspector) != 100).any(-1), expected)


def test_opacity_blends_linearly():
    frame, mask = np.full((8, 8, 3), 100, np.uint8), np.zeros((8, 8), bool)
    mask[1:7, 1:7] = True
    blended = pixels.draw_mask(frame, mask, 0.25)[3, 3]
    assert np.abs(blended - (75 + 0.25 * np.array(pixels.MASK_COLOUR))).max() <= 0.51
    assert (pixels.draw_mask(frame, mask, 0.25)[0] == 100).all()


def test_static_html_has_every_picture_and_needs_nothing_from_outside():
    images = [np.full((4, 4, 3), i, np.uint8) for i in range(4)]
    text = widgets.static_slider_html(list(zip(images, ["a", "b", "<c>", "d"], strict=True)))
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    assert [base64.b64decode(data) for data in found] == [pixels.jpeg(image) for image in images]
    assert 'max="3"' in text and "&lt;c&gt;" in text and "<c>" not in text
    assert text.count("display:none\"") == 3 and "http" not in text and "<script" not in text
    assert "<input" not in widgets.static_slider_html([(images[0], "a")])


def notebook(inspector):
    """A notebook with the inspector's output, and its widget state as an executing client saves it."""
    data = inspector._repr_mimebundle_()
    output = nbformat.v4.new_output("display_data", data=data)
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("inspect", outputs=[output])])
    nb.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {
        "state": {inspector.model_id: {"model_name": "VBoxModel"}}, "version_major": 2, "version_minor": 0}}
    return nb


@pytest.mark.parametrize("make", [widgets.inspect_tracks, widgets.inspect_masks])
def test_the_html_export_shows_the_static_pictures(episodes, make):
    inspector = make(episodes)
    data = inspector._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == inspector.model_id
    body, _ = HTMLExporter().from_notebook_node(widgets.without_widget_state(notebook(inspector)))
    assert body.count("data:image/jpeg;base64,") == widgets.STATIC_FRAMES
    for source in re.findall(r'src="(data:[^"]+)"', inspector.static_html()):
        assert source in body
    assert "widget-view+json" not in body.split("</head>")[1]


def test_the_browser_shows_and_moves_the_static_pictures(episodes, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    executed = notebook(widgets.inspect_tracks(episodes))
    body, _ = HTMLExporter().from_notebook_node(widgets.without_widget_state(executed))
    (tmp_path / "export.html").write_text(body)
    with sync_api.sync_playwright() as p:
        try:
            browser = p.chromium.launch(executable_path="/usr/bin/chromium", headless=True,
                                        args=["--no-sandbox", "--disable-gpu", "--disable-quic"])
        except sync_api.Error as error:
            pytest.skip(f"no Chromium at /usr/bin/chromium: {error}")
        page = browser.new_page(viewport={"width": 900, "height": 800})
        page.route("http*://**", lambda route: route.abort())
        page.goto(f"file://{tmp_path}/export.html", wait_until="domcontentloaded")
        shown = page.locator(".static-slider figure:visible")
        assert shown.count() == 1 and "frame 0 of 10" in shown.inner_text()
        assert page.evaluate("() => document.querySelector('.static-slider img').naturalWidth") == 448
        page.locator(".static-slider input").focus()
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        assert shown.count() == 1 and "frame 4 of 10" in shown.inner_text()
        browser.close()


def test_the_last_value_wins_where_two_controls_change_at_once():
    """JupyterLab delivers the values of two controls in two threads of the kernel."""
    began = threading.Event()

    def draw(slow: bool, last: bool):
        if slow and not last:
            began.set()
            time.sleep(0.2)
        return np.zeros((4, 4, 3), np.uint8), f"{slow} {last}"

    controls = {name: ipywidgets.Checkbox(False) for name in ("slow", "last")}
    inspector = widgets.Inspector(draw, controls, list)
    thread = threading.Thread(target=lambda: setattr(controls["slow"], "value", True))
    thread.start()
    assert began.wait(5)
    controls["last"].value = True
    thread.join()
    assert inspector.text.value == "True True"
