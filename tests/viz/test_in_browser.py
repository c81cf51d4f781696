"""The inspectors in a real browser: an exported page opened offline, and a notebook that runs in JupyterLab.

What the browser shows is read back from it and compared with what the drawing functions draw here.
"""

import base64
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import nbformat
import numpy as np
import psutil
import pytest
from nbclient import NotebookClient

from lewm_core.curation import score, selection
from lewm_core.curation.measurements import read_measurements
from lewm_core.runner.isolation import PRIVATE
from lewm_core.runner.pages import to_html
from lewm_core.signals import geometry
from lewm_core.signals.backends import SIMULATOR
from lewm_core.signals.extraction import extract
from lewm_core.sources.tabletop.source import Tabletop
from lewm_core.utils.workspace import ROOT
from lewm_core.viz import pixels, widgets

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (the extra `dev`)")
expect = sync_api.expect
CHROMIUM = shutil.which("/usr/bin/chromium") or shutil.which("chromium")
pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(CHROMIUM is None, reason="no chromium at /usr/bin or on the PATH")]

SOURCE = {"n_episodes": 2, "seed": 3, "image_size": 32}
ZOOM = widgets.DISPLAY_SIZE // SOURCE["image_size"]
ARGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--no-proxy-server",
        "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
CELLS = [
    f"""\
from lewm_core.signals.backends import SIMULATOR
from lewm_core.signals.extraction import extract
from lewm_core.sources.tabletop.source import Tabletop
from lewm_core.viz import widgets

source = Tabletop(**{SOURCE})
loaded = [source.load(info.id) for info in source.infos()]
episodes = {{e.id: (e, extract(e, SIMULATOR)) for e in loaded}}""",
    "widgets.inspect_tracks(episodes)",
    "widgets.inspect_masks(episodes)",
]


@pytest.fixture(scope="module")
def episodes() -> dict[str, widgets.Packet]:
    source = Tabletop(**SOURCE)
    loaded = [source.load(info.id) for info in source.infos()]
    return {e.id: (e, extract(e, SIMULATOR)) for e in loaded}


def notebook_of(*cells: str):
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
                                    metadata={"kernelspec": kernel})


@pytest.fixture
def notebook():
    return notebook_of(*CELLS)


@pytest.fixture(scope="module", autouse=True)
def private(tmp_path_factory) -> Iterator[None]:
    """What Jupyter, IPython, Matplotlib and Chromium write goes to a temporary folder."""
    place = tmp_path_factory.mktemp("private")
    with pytest.MonkeyPatch.context() as patch:
        for name, folder in {"HOME": "home", **PRIVATE}.items():
            (place / folder).mkdir()
            patch.setenv(name, str(place / folder))
        patch.setenv("PYTHONPATH", str(ROOT))
        yield


@contextmanager
def browser_page(picture: Path, **options) -> Iterator:
    """A page of a browser that reaches nothing but this machine. What it shows in the end is saved as `picture`."""
    with sync_api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGS)
        try:
            page = browser.new_page(**options)
            page.set_default_timeout(20_000)
            try:
                yield page
            finally:
                page.screenshot(path=picture)
        finally:
            browser.close()


@contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """The address of a notebook `inspectors.ipynb` in `folder`, in a JupyterLab that serves it."""
    settings = folder / "settings"
    news = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    command = [sys.executable, "-m", "jupyterlab", f"--LabApp.user_settings_dir={settings}", "--LabApp.news_url=",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with served(command, folder, folder / "server.log") as (address, token):
        yield f"{address}/lab/tree/inspectors.ipynb?reset&token={token}"


@contextmanager
def served(command: list[str], folder: Path, log_file: Path, **env: str) -> Iterator[tuple[str, str]]:
    """Address and token of the JupyterLab that `command` starts in `folder`. It and its kernels end with the context.
    """
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    options = ["--allow-root", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0",
               f"--ServerApp.root_dir={folder}", "--LabApp.extension_manager=readonly"]
    token = base64.b16encode(os.urandom(16)).decode()
    with open(log_file, "w") as log:
        server = subprocess.Popen([*command, *options], cwd=folder, stdout=log, stderr=subprocess.STDOUT,
                                  env={**os.environ, **env, "JUPYTER_TOKEN": token})
    local = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def answers() -> bool:
        assert server.poll() is None, log_file.read_text()
        try:
            return local.open(f"http://127.0.0.1:{port}/api", timeout=2).status == 200
        except OSError:
            return False

    try:
        until(answers, 60)
        yield f"http://127.0.0.1:{port}", token
    finally:
        if server.poll() is None:
            family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
            server.terminate()
            for process in psutil.wait_procs(family, timeout=10)[1]:
                process.kill()


def run_all(page, address: str) -> None:
    """Open the notebook and run its cells."""
    page.goto(address)
    # Before the kernel is connected, 'Run All Cells' is dropped without a word.
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.locator(".lm-Menu-item[data-command='runmenu:run-all']").click()


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not so after {seconds} s"
        time.sleep(0.1)


def decoded(png: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def pixels_of(image) -> np.ndarray:
    """(H, W, 3) uint8: the pixels of an <img> as the browser has decoded them."""
    url = image.evaluate("""async image => {
        await image.decode();
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        canvas.getContext('2d').drawImage(image, 0, 0);
        return canvas.toDataURL('image/png');
    }""")
    return decoded(base64.b64decode(url.split(",")[1]))


def drawn_tracks(packet: widgets.Packet, frame: int, queries: str = "foreground-biased", trail: int = 8,
                 on_object: bool = False) -> np.ndarray:
    episode, found = packet
    tracks, visible = (getattr(found, name) for name in widgets.QUERIES[queries])
    mask = found.mask[frame] if on_object else None
    return pixels.draw_tracks(episode.frames[frame], tracks, visible, frame, trail, mask, ZOOM)


def test_the_exported_page_works_offline(episodes, notebook, tmp_path):
    executed = NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert executed.metadata["widgets"]  # which an export must not rely on
    (tmp_path / "export.html").write_text(to_html(executed, "inspectors"))
    packet = next(iter(episodes.values()))
    length = len(packet[0].frames)
    with browser_page(tmp_path / "export.png", viewport={"width": 1000, "height": 2300}, offline=True) as page:
        page.goto(f"file://{tmp_path}/export.html", wait_until="load")
        areas = page.locator(".jp-OutputArea-output")
        assert areas.count() == len(CELLS) - 1
        for area in areas.all():
            expect(area.locator(".static-slider figure:visible img")).to_have_count(1)
            assert decoded(area.screenshot()).std() > 20  # not one empty rectangle
        assert page.get_by_text("Loading widget").or_(page.get_by_text("Error displaying widget")).count() == 0

        tracks = areas.first
        slider, picture = tracks.locator("input"), tracks.locator("figure:visible img")
        drawings = np.stack([drawn_tracks(packet, t) for t in range(length)]).astype(float)
        times = np.linspace(0, length - 1, widgets.STATIC_FRAMES).round().astype(int)
        slider.focus()
        for t in times:
            expect(tracks.locator("figure:visible")).to_contain_text(f"frame {t} of {length}")
            at = pixels_of(picture)
            assert np.abs(drawings - at).mean((1, 2, 3)).argmin() == t  # a JPEG is not exact
            assert picture.bounding_box()["width"] == at.shape[1] == widgets.DISPLAY_SIZE  # not rescaled
            page.keyboard.press("ArrowRight")


def test_the_inspectors_work_in_jupyterlab(episodes, notebook, tmp_path):
    nbformat.write(notebook, tmp_path / "inspectors.ipynb")
    (first, packet), (second, other) = episodes.items()
    lengths = [len(p[0].frames) for p in (packet, other)]
    assert lengths[0] != lengths[1]  # else a slider that keeps its old range would pass
    options = {"viewport": {"width": 1300, "height": 2300}}
    with jupyterlab(tmp_path) as address, browser_page(tmp_path / "lab.png", **options) as page:
        run_all(page, address)
        inspectors = page.locator(".jp-OutputArea-output:has(img.widget-image)")
        expect(inspectors).to_have_count(2, timeout=60_000)
        tracks, masks = inspectors.all()

        def control(inspector, name: str):
            return inspector.locator(f".widget-inline-hbox:has(.widget-label:text-is('{name}'))")

        def shows(inspector, text: str, drawing: np.ndarray) -> None:
            expect(inspector.locator(".widget-html-content").last).to_contain_text(text)
            image = inspector.locator("img.widget-image")
            until(lambda: np.array_equal(pixels_of(image), drawing))
            assert image.bounding_box()["width"] == drawing.shape[1]  # not rescaled

        def press(inspector, name: str, key: str, times: int = 1) -> None:
            control(inspector, name).locator(".noUi-handle").focus()
            for _ in range(times):
                page.keyboard.press(key)

        shows(tracks, f"{first}, frame 0 of {lengths[0]}", drawn_tracks(packet, 0))
        press(tracks, "frame", "ArrowRight", 3)
        shows(tracks, f"{first}, frame 3 of {lengths[0]}", drawn_tracks(packet, 3))
        tracks.get_by_text("on the object only").click()
        shows(tracks, "visible on the object", drawn_tracks(packet, 3, on_object=True))
        tracks.get_by_text("on the object only").click()
        control(tracks, "queries").locator("select").select_option(label="uniform")
        shows(tracks, "uniform queries", drawn_tracks(packet, 3, "uniform"))
        press(tracks, "trail", "ArrowLeft", 6)
        shows(tracks, "uniform queries", drawn_tracks(packet, 3, "uniform", trail=2))
        control(tracks, "episode").locator("select").select_option(label=second)
        shows(tracks, f"{second}, frame 3 of {lengths[1]}", drawn_tracks(other, 3, "uniform", trail=2))
        press(tracks, "frame", "End")
        last = lengths[1] - 1
        shows(tracks, f"{second}, frame {last} of {lengths[1]}", drawn_tracks(other, last, "uniform", trail=2))

        region = list(widgets.REGIONS)[-1]
        control(masks, "region").locator("select").select_option(label=region)
        mask = geometry.dilate(geometry.to_supervision(packet[1].mask[:1]), widgets.REGIONS[region])[0]
        shows(masks, region, pixels.draw_mask(packet[0].frames[0], mask, 0.5, ZOOM))


CURATION = f"""\
from lewm_core.curation.measurements import add_measurements, measure
from lewm_core.curation.score import Criteria
from lewm_core.viz.curation_browser import CurationBrowser
from lewm_core.curation.selection import Choice
from lewm_core.signals.backends import SIMULATOR
from lewm_core.signals.extraction import extract
from lewm_core.sources.tabletop.source import Tabletop

source = Tabletop(**{SOURCE | {"n_episodes": 6}})
infos = list(source.infos())
loaded = {{info.id: source.load(info.id) for info in infos}}
found = {{id: (episode, extract(episode, SIMULATOR)) for id, episode in loaded.items()}}
path = "measurements.csv"
table = add_measurements(path, [measure(info, found[info.id][1], 32) for info in infos])
CurationBrowser(table, found.get, "selection.csv", Criteria(min_length=1, max_length=60), Choice(6, 4, 2))
"""


def test_the_curation_browser_ranks_ticks_and_saves_in_jupyterlab(tmp_path):
    nbformat.write(notebook_of(CURATION), tmp_path / "inspectors.ipynb")
    options = {"viewport": {"width": 1500, "height": 1300}}
    with jupyterlab(tmp_path) as address, browser_page(tmp_path / "curation.png", **options) as page:
        run_all(page, address)
        table = page.locator(".jp-OutputArea-output:has(button:text-is('save'))")
        lines = table.locator(".widget-hbox:visible:has(> .widget-checkbox)")
        expect(lines).to_have_count(6, timeout=60_000)
        measured = read_measurements(tmp_path / "measurements.csv")

        def order(criteria: score.Criteria) -> list[str]:
            return selection.select(score.score(measured, criteria), selection.Choice(6, 4, 2)).episode.tolist()

        def shown() -> list[str]:
            return lines.locator("button").all_inner_texts()

        start = score.Criteria(min_length=1, max_length=60)
        assert shown() == order(start)
        handle = table.locator(".widget-inline-hbox:has(.widget-label:text-is('motion')) .noUi-handle")
        handle.focus()
        for _ in range(20):  # from 2 to 0
            page.keyboard.press("ArrowLeft")
        moved = replace(start, weight_motion=0.0)
        assert order(moved) != order(start)  # else nothing would be seen
        until(lambda: shown() == order(moved), 30)

        first, last = order(moved)[0], order(moved)[-1]
        lines.first.locator("button").click()
        expect(table.locator("img.widget-image")).to_be_visible(timeout=30_000)
        assert pixels_of(table.locator("img.widget-image")).std() > 20
        picture, line = table.locator("img.widget-image").bounding_box(), lines.first.bounding_box()
        assert picture["x"] >= line["x"] + line["width"] and picture["y"] < line["y"] + line["height"]  # beside
        assert table.evaluate("box => box.scrollWidth <= box.clientWidth")
        lines.first.locator("input").nth(0).click()  # drop the best
        expect(table.get_by_text("dropped 1")).to_be_visible(timeout=30_000)
        lines.last.locator("input").nth(1).click()  # the last into the pilot
        expect(table.get_by_text("of 2, by hand")).to_be_visible(timeout=30_000)
        table.get_by_role("button", name="save", exact=True).click()
        expect(table.get_by_text("Saved as selection.csv")).to_be_visible(timeout=30_000)

    saved = selection.read_selection(tmp_path / "selection.csv").set_index("episode")
    assert saved.index.tolist() == order(moved) and not saved.loc[first, ["full", "pilot"]].any()
    assert saved.index[saved.pilot].tolist() == [*order(moved)[1:3], last]
    how = selection.chosen_by(tmp_path / "selection.csv")
    assert how["pilot_by"] == "hand" and how["criteria"]["weight_motion"] == 0 and how["dropped"] == 1
