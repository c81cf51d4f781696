"""The site of a small run: every link resolves, nothing is loaded from outside, and text from data stays text."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import jupytext
import pytest
from nbformat import v4

from lewm_core.runner import pages, site
from lewm_core.stats import claims, evidence_rows
from lewm_core.stats.claims_report import save
from lewm_core.stats.evidence import Evidence
from lewm_core.stats.primary import PRIMARY_HYPOTHESES
from lewm_core.utils.errors import InputError
from lewm_core.utils.workspace import ROOT, Workspace
from tests.stats.test_claims import THE_PAPERS, study

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
NAMES = ["01_one", "02_two", "08_controls"]


def notebook(*cells):
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
             "language_info": {"name": "python", "pygments_lexer": "ipython3"}, "widgets": {"application/x": {}}}
    return v4.new_notebook(cells=list(cells), metadata=about)


def shows(source: str, **data: str):
    """A code cell that displays; also a progress bar."""
    outputs = [v4.new_output("stream", name="stderr", text="runs: 100%|███|"),
               v4.new_output("display_data", data={k.replace("_", "/"): v for k, v in data.items()})]
    return v4.new_code_cell(source, outputs=outputs, execution_count=1)


FIRST = notebook(v4.new_markdown_cell("# 01 · One\n\nSee notebook 02, and `notebook 02`. $\\frac{a}{b}$"),
                 v4.new_code_cell("import os"),
                 v4.new_markdown_cell("## The runs"),
                 shows('results = study.run(conditions, "pilot", seeds)', text_markdown=f"- task: {HOSTILE} $x_1$"),
                 shows('results = study.run(conditions, "full", seeds)', text_plain=HOSTILE))
WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "a"}, "text/html": "<p>the stand-in</p>"}
SECOND = notebook(v4.new_markdown_cell(f"# 02 · Two\n\n{HOSTILE}"), v4.new_markdown_cell("## The claims"),
                  v4.new_code_cell("say(claims_report.markdown(judged))",
                                   outputs=[v4.new_output("display_data", data=WIDGET)]))


class Links(HTMLParser):
    """The anchors of a page, what it links to, and what a browser loads with it."""

    LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src"}

    def __init__(self, text: str):
        super().__init__()
        self.ids, self.links, self.loads, self.handlers = set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids.add(given.get("id"))
        self.handlers += [value for name, value in attributes if name.startswith("on") and "alert" in value]
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and "stylesheet" in given.get("rel", ""):
            self.loads.append(given["href"])
        if tag in self.LOADS and given.get(self.LOADS[tag]):
            self.loads.append(given[self.LOADS[tag]])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run with two of three notebooks, and the claims of planted results."""
    folder = tmp_path_factory.mktemp("run")
    place = Workspace(folder / "out", folder / "figures")
    for part in (place.notebooks, place.figures):
        part.mkdir(parents=True)
    for name, node in zip(NAMES, (FIRST, SECOND), strict=False):
        jupytext.write(node, place.notebooks / f"{name}.ipynb")
    results = study(THE_PAPERS)
    for scale in ("pilot", "full"):
        results[results.scale == scale].to_csv(place.results(scale), index=False)
    evidence = Evidence(results)
    judged = claims.claims_table(evidence, {"data": HOSTILE, "profile": "x"})
    judged.loc[judged.id == "pilot-B", "reason"] = HOSTILE
    save(judged, place.figures)
    evidence_rows.save(evidence_rows.evidence_table(evidence, place), place.figures)
    return place


@pytest.fixture(scope="module")
def built(place, tmp_path_factory):
    pytest.importorskip("sphinx", reason="the site's packages are not installed: pip install -e .[site]")
    pytest.importorskip("myst_nb", reason="the site's packages are not installed: pip install -e .[site]")
    pytest.importorskip("sphinx_book_theme", reason="the site's packages are not installed: pip install -e .[site]")
    target = tmp_path_factory.mktemp("site") / "site"
    target.mkdir()
    (target / "old.html").touch()
    found = site.build(place, target, NAMES, {"utils": ["lewm_core.utils.errors", "lewm_core.utils.files"]})
    assert found.warnings == () and not (target / "old.html").exists()
    return target


def pages_of(built: Path) -> list[Path]:
    return [path for path in built.rglob("*.html") if "_static" not in path.parts]  # which has the theme's templates


def page(built: Path, name: str) -> str:
    return (built / name).read_text()


def test_every_link_leads_somewhere(built):
    found = {path.resolve(): Links(path.read_text()) for path in pages_of(built)}
    assert len(found) > 12
    dead = []
    for path, links in found.items():
        for link in links.links:
            address = urlsplit(link)
            if address.scheme or link.startswith("//") or link == "#":
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            ok = target.is_file() and (not address.fragment or target not in found
                                       or unquote(address.fragment) in found[target].ids)
            dead += [] if ok else [(path.name, link)]
    assert dead == []


def test_nothing_is_loaded_from_outside(built):
    for path in pages_of(built):
        found = Links(path.read_text())
        outside = [load for load in found.loads if urlsplit(load).scheme not in ("", "data") or load.startswith("//")]
        assert outside == [], path
        assert [load for load in found.loads if not load.startswith("data:")
                and not (path.parent / unquote(urlsplit(load).path)).exists()] == [], path
    for path in built.rglob("*.css"):
        assert not re.search(r"""(url\(|@import) ?["']?(https?:)?//""", path.read_text()), path


def test_text_from_data_stays_text(built):
    for name in ("index.html", "evidence.html", "claims.html", "notebooks/01_one.html", "notebooks/02_two.html"):
        text = page(built, name)
        assert "alert(" in text, f"{name} shows it"
        assert "<img src=x" not in text and "<script>alert" not in text and '<img src="x"' not in text, name
        assert Links(text).handlers == [], name


def test_what_is_for_a_page_s_writers_is_not_shown(built):
    assert "written by" in (ROOT / "docs/speed.md").read_text()
    assert "from here to its end" not in page(built, "speed.html")


def test_notebooks_are_shown_as_readers_need_them(built):
    text = page(built, "notebooks/01_one.html")
    assert text.count("Show code") == 3, "all code is folded"
    assert "runs: 100" not in text and "the stand-in" in page(built, "notebooks/02_two.html")
    assert text.count("<math") == 2 and "<mfrac>" in text and "$x_1$" not in text
    assert '<a class="reference internal" href="02_two.html"' in text and text.count("02_two.html") > 2
    assert "next-page" in text or 'rel="next"' in text
    assert "08_controls" in page(built, "index.html"), "what was not run is told"


def test_each_claim_leads_to_its_evidence(built, place):
    links, evidence = Links(page(built, "claims.html")).links, Links(page(built, "evidence.html"))
    for claim in (*PRIMARY_HYPOTHESES, *claims.CLAIMS):
        assert f"evidence.html#{claim.id}" in links and claim.id in evidence.ids
    assert {f"evidence.html#H{i}" for i in range(1, 7)} <= set(Links(page(built, "index.html")).links)
    text = page(built, "evidence.html")
    rows = evidence_rows.read(place.figures).set_index("id")
    assert rows.loc["H1"].sha256 in text and "prespecified" in text and "exploratory" in text
    assert "notebooks/01_one.html#the-runs" in evidence.links and "notebooks/02_two.html#the-claims" in evidence.links
    assert any("results_full.csv" in link for link in evidence.links)


def test_the_reference_shows_docstrings_as_they_stand(built):
    assert "Yield a temporary path beside" in page(built, "api/utils.html")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [1400, 400])
def test_it_is_read_in_a_browser(built, width):
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": width, "height": 900}, offline=True)
        tab.set_default_timeout(15_000)
        asked, errors = [], []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda error: errors.append(str(error)))
        for path in pages_of(built):
            tab.goto(path.as_uri())
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, f"{path.name} fits"
        tab.goto((built / "index.html").as_uri())
        tab.locator("article a[href='evidence.html#H1']").first.click()
        assert 0 <= tab.locator("#H1 + h3, #H1 ~ section h3").first.bounding_box()["y"] < 900
        tab.goto((built / "notebooks/01_one.html").as_uri())
        code = tab.get_by_text('"pilot", seeds')
        assert not code.is_visible()
        tab.locator("article summary").nth(1).click()
        code.wait_for(state="visible")
        tab.locator("a.right-next").click()
        assert tab.url.endswith("02_two.html")
        assert errors == []
        tab.goto((built / "search.html").as_uri() + "?q=persistence")  # without excerpts, which need a server
        tab.locator("#search-results li").first.wait_for()
        browser.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_a_run_without_notebooks_is_refused(tmp_path):
    with pytest.raises(InputError, match="no executed notebook"):
        site.build(Workspace(tmp_path, tmp_path / "figures"), tmp_path / "site", NAMES)


def test_a_run_without_claims_says_so(place, tmp_path):
    other = Workspace(place.output, tmp_path / "figures")
    assert "no claims yet" in site.claim_pages(other, tmp_path, {})["answer"]


def test_every_table_is_made_in_a_notebook(tmp_path):
    """The code by which the evidence finds where a table is made stands in our notebooks."""
    shown = {path.stem: jupytext.read(path) for path in site.notebook.paths()}
    expected = {"results_pilot": "03", "results_full": "05", "results_controls": "08", "on_object_tracks": "02",
                "measured_leak": "03", "measured_instability": "04", "measured_facts": "05", "measured_probes": "06",
                "measured_capacity": "06", "measured_floors": "06", "measured_gradients": "08",
                "measured_metrics": "08", "claims": "09"}
    found = {name: site.made_in(Path(f"{name}.csv"), shown) for name in expected}
    assert {name: place and place[0][:2] for name, place in found.items()} == expected
    assert all(heading for _, heading in found.values())


def test_an_exported_page_needs_no_network():
    text = pages.to_html(FIRST, "one")
    found = Links(text)
    assert [load for load in found.loads if not load.startswith("data:")] == []
    assert text.count("<math") == 2 and "runs: 100" not in text
    assert "<img src=x" not in text and "alert(2)</script>" not in text.replace("&lt;/script&gt;", "")
    assert "runs: 100" in str(FIRST), "the notebook itself is left as it is"


@pytest.mark.parametrize("formula", [r"\text{<img/src=x/onerror=alert(1)>}", r"\href{javascript:alert(1)}{x}",
                                     r"\frac{"])
def test_no_formula_is_live_or_fatal(formula):
    text = pages.mathml(formula)
    assert "<img" not in text and "javascript" not in text and text.startswith(("<math", "<code"))
