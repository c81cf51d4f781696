"""Notebooks for readers without a kernel and without a network: what is shown of them, and each as one HTML page.

Formulas become MathML, which browsers draw themselves. Markdown, in cells and in what cells display, is text: tags in
it are shown and do nothing. What went to stderr (progress bars, warnings) stays in the .ipynb only.
"""

import html
from copy import deepcopy
from typing import Any
from xml.etree import ElementTree

from mistune.util import safe_entity
from nbconvert import HTMLExporter
from nbconvert.exporters.html import contextfilter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from lewm_core.utils import escape
from lewm_core.viz.widgets import without_widget_state

WIDGET = "application/vnd.jupyter.widget-view+json"
TEMPLATE = """\
{%- extends 'index.html.j2' -%}
{%- block html_head_css -%}
{{ super() }}
<style>/* A word that is longer than a line does not push the rest out of sight. */
body, .jp-OutputArea-output { overflow-wrap: break-word; }
.jp-OutputArea-output :is(td, th) { max-width: 60em; }</style>
{%- endblock -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
"""


def mathml(formula: str, display: str = "inline") -> str:
    """LaTeX as MathML; what cannot be read is shown as it was written. display: inline or block."""
    try:
        from latex2mathml import converter  # not above: few notebooks have a formula

        found = converter.convert_to_element(formula, display=display)
    except Exception:  # its errors have no type in common
        return f"<code>{escape.html(formula)}</code>"
    for part in found.iter():
        part.text = html.unescape(part.text or "")  # which is escaped again below, as the converter's own writer is not
        part.attrib.pop("href", None)
    return ElementTree.tostring(found, encoding="unicode")


class Markdown(IPythonRenderer):
    """Markdown whose tags are text, whose links open pages only, and whose formulas are MathML."""

    def __init__(self, **options: Any):
        super().__init__(**options | {"escape": True, "allow_harmful_protocols": False})

    def text(self, text: str) -> str:
        return safe_entity(text)  # without it an entity would be shown as it is written

    def block_mermaidjs(self, code: str) -> str:
        return self.block_code(code)

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def block_math(self, body: str) -> str:
        return mathml(body, "block")

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", "block")


def markdown_html(text: str) -> str:
    """Markdown as HTML."""
    return MarkdownWithMath(renderer=Markdown(exclude_anchor_links=True)).render(text)


def for_readers(notebook: Any) -> Any:
    """A copy of an executed notebook (an nbformat node) as its readers see it: widgets as their static stand-ins,
    Markdown that was displayed as HTML, no stderr."""
    notebook = without_widget_state(deepcopy(notebook))
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = [o for o in cell.outputs if not (o.output_type == "stream" and o.name == "stderr")]
        for data in (output.data for output in cell.outputs if "data" in output):
            if "text/html" in data:
                data.pop(WIDGET, None)
            elif "text/markdown" in data:
                data["text/html"] = markdown_html(data.pop("text/markdown"))
    return notebook


class Page(HTMLExporter):
    """An HTML exporter whose pages load nothing."""

    def __init__(self, **options: Any):
        super().__init__(raw_template=TEMPLATE, **options)

    @contextfilter
    def markdown2html(self, context: Any, source: str) -> str:
        """The filter for Markdown cells. context: of the template, which is not needed here."""
        return MarkdownWithMath(renderer=Markdown(anchor_link_text=self.anchor_link_text)).render(source)


def to_html(notebook: Any, title: str) -> str:
    """One self-contained page of an executed notebook, which needs no network."""
    return Page().from_notebook_node(for_readers(notebook), {"metadata": {"name": title}})[0]
