"""Whether a page does what texts of tests/hostile.py want: opened in a real browser, which reaches nothing."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("/usr/bin/chromium") or shutil.which("chromium")
ARGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--no-proxy-server",
        "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND"]
WIDTH = 1400
READ = """() => {
    const found = [], windows = [window, ...[...document.querySelectorAll('iframe')].map(f => f.contentWindow)];
    for (const one of windows) {
        if (one.canary !== undefined) found.push('a script ran');
        for (const element of one.document.querySelectorAll('*')) for (const {name, value} of element.attributes) {
            if (/^on/.test(name) && /canary/.test(value)) found.push(`${name}=${value}`);
            if (/^(src|href|xlink:href|action)$/.test(name) && /^\\s*javascript:|\\/\\/canary/.test(value))
                found.push(`${name}=${value}`);
        }
    }
    if (document.documentElement.scrollWidth > window.innerWidth) found.push('wider than the window');
    return found;
}"""


@contextmanager
def browser() -> Iterator[Callable[..., list[str]]]:
    """What opens a page and says what in it was obeyed: scripts that ran, dialogs, requests, live attributes.

    Called with a page's path and, if wanted, with what is done on the page first. Its picture lies beside the page.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (the extra `dev`)")
    if CHROMIUM is None:
        pytest.skip("no chromium at /usr/bin or on the PATH")
    with sync_api.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGS)

        def obeyed(path: Path, act: Callable[[object], None] = lambda page: None) -> list[str]:
            found: list[str] = []
            page = chromium.new_page(viewport={"width": WIDTH, "height": 1000})
            page.set_default_timeout(60_000)
            page.on("dialog", lambda dialog: (found.append(f"dialog {dialog.message}"), dialog.dismiss()))
            page.on("request", lambda request: found.append(f"request {request.url}") if not request.url.startswith(
                ("file:", "data:", "blob:", "about:")) else None)
            page.on("pageerror", lambda error: found.append(f"error {error}"))
            page.goto(path.as_uri(), wait_until="load")
            act(page)
            page.wait_for_timeout(200)
            found += page.evaluate(READ)
            page.screenshot(path=path.with_suffix(".png"))
            page.close()
            return found

        yield obeyed
        chromium.close()


def obeyed(paths: Iterable[Path]) -> dict[str, list[str]]:
    """What was obeyed, by page; without those that obey nothing."""
    with browser() as look:
        found = {path.name: look(path) for path in paths}
    return {name: problems for name, problems in found.items() if problems}
