"""How Sphinx builds the site. lewm_core.runner.site calls it; nothing in the pages is loaded from a network."""

import re
import sys
import tomllib
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from docutils.nodes import SkipNode  # noqa: E402

from lewm_core.runner.pages import mathml  # noqa: E402

with open(ROOT / "pyproject.toml", "rb") as f:
    described = tomllib.load(f)["project"]

project = described["name"]
version = release = described["version"]
html_title = "LeWM and vision signals, rerun"
language = "en"
extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = []

nb_execution_mode = "off"  # the notebooks were executed by the run
nb_ipywidgets_js = {}  # widgets are shown as their static stand-ins
nb_code_prompt_show = "Show code"
nb_code_prompt_hide = "Hide code"
myst_enable_extensions = ["dollarmath"]
myst_disable_syntax = ["html_block", "html_inline"]  # tags in a text are text
myst_heading_anchors = 4
myst_url_schemes = {"http": None, "https": None, "site": {"url": "{{path}}#{{fragment}}", "title": "{{path}}"}}
html_math_renderer = "mathml"

autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 100
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "sphinx_book_theme"
html_static_path = [str(Path(__file__).parent / "_static")]
html_css_files = ["site.css"]
html_show_sphinx = False
html_theme_options = {
    "home_page_in_toc": True,
    "use_fullscreen_button": False,
    "navbar_persistent": [],  # the search is in the side bar
    "show_toc_level": 2,
    "footer_content_items": [],
}
if "/OWNER/" not in described["urls"]["Repository"]:
    html_theme_options |= {"repository_url": described["urls"]["Repository"], "use_repository_button": True}
suppress_warnings = ["mystnb.unknown_mime_type"]


def plain(app, what, name, obj, options, lines):
    """Docstrings are plain text: paragraphs become prose, in which backquotes mean code; what is indented or laid out
    in columns is shown as it stands."""
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))
    lines[:] = [line for text in paragraphs if text.strip() for line in (*paragraph(text), "")]


def readable(app, what, name, obj, options, signature, returned):
    """A default that is made anew for each object, in a form that Sphinx can read."""
    return signature and signature.replace("<factory>", "..."), returned


def paragraph(text):
    """A paragraph of a docstring as lines of reStructuredText."""
    if re.search(r"^\s|\S {2,}\S", text, re.MULTILINE):
        shown = [f"   {line}" for line in dedent(text).splitlines()]
        return [".. code-block:: text", "   :class: docstring", "", *shown]
    parts = re.split(r"`([^`\n]+)`", " ".join(text.split()))
    prose = [re.sub(r"([\\*`_|<>\[\]:])", r"\\\1", part) if i % 2 == 0 else rf"\ ``{part.strip()}``\ "
             for i, part in enumerate(parts)]
    return [r"\ " + "".join(prose)]


def visit_inline(translator, node):
    translator.body.append(mathml(node.astext()))
    raise SkipNode


def visit_block(translator, node):
    translator.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>')
    raise SkipNode


def setup(app):
    app.connect("autodoc-process-docstring", plain)
    app.connect("autodoc-process-signature", readable)
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
