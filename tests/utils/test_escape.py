"""Text that tries to be more than text is shown as text, and ordinary text as it is."""

import json
import random
import re
import unicodedata
from html.parser import HTMLParser

import pytest

from lewm_core.runner.pages import markdown_html
from lewm_core.utils import escape
from lewm_core.utils.provenance import PACKAGE
from tests.hostile import LETTERS, NOT_UTF8, ORDINARY, TERMINAL, TEXTS

ALL = TEXTS | NOT_UTF8
PIECES = ["\\", "`", "*", "_", "{", "}", "[", "]", "<", ">", "#", "$", "|", "~", "&", "!", ":", "//", "http:", "(", ")",
          "a", "b1", " ", "-", "+", "=", "1.", "&lt;", "&#36;", "begin", "\n", "^", "'", '"', "%", "x_y", "\\(", "\\["]
AROUND = [("", ""), ("- the first: ", "."), ("| a |\n|---|\n| ", " |"), ("## ", "\n")]  # where Markdown has a text
NUMBERS = random.Random(0)
PATCHWORK = ["".join(NUMBERS.choices(PIECES, k=NUMBERS.randint(1, 14))) for _ in range(150)]


class Parsed(HTMLParser):
    """The text of HTML, and its tags."""

    def __init__(self, page: str):
        super().__init__()
        self.text, self.tags = "", set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)

    def handle_data(self, data):
        self.text += data


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_shown_as_it_is(text):
    assert escape.plain(text) == escape.message(text) == text
    assert Parsed(escape.html(text)).text == text
    for shown in (escape.markdown(text), escape.code(text)):
        assert words(Parsed(markdown_html(shown)).text) == words(text)
    assert escape.code("runs/quick/a_b.csv") == "`runs/quick/a_b.csv`"


@pytest.mark.parametrize("name", ALL)
def test_plain_text_is_one_short_line_of_visible_characters(name):
    shown = escape.plain(ALL[name])
    assert len(shown) <= escape.LIMIT and len(shown.splitlines()) <= 1
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    shown.encode()  # so that a file can hold it


@pytest.mark.parametrize("name", ALL)
def test_html_has_no_tags_and_ends_no_attribute(name):
    parsed = Parsed(f'<p title="{escape.html(ALL[name])}">{escape.html(ALL[name])}</p>')
    assert parsed.tags == {"p"} and parsed.text == escape.plain(ALL[name])


@pytest.mark.parametrize("around", AROUND, ids=["alone", "sentence", "table", "heading"])
@pytest.mark.parametrize("shown_as", [escape.markdown, escape.code])
def test_markdown_shows_the_text_and_obeys_nothing(around, shown_as):
    bare = Parsed(markdown_html("PLACE".join(around)))
    for text in (*ALL.values(), *PATCHWORK):
        parsed = Parsed(markdown_html(shown_as(text).join(around)))
        expected = bare.text.replace("PLACE", words(escape.plain(text)))
        assert words(parsed.text.rstrip("¶")) == words(expected.rstrip("¶"))
        assert parsed.tags <= bare.tags | {"code"}, text


def test_codes_of_terminals_are_gone():
    assert escape.plain(TERMINAL["colours"]) == "red bold"
    assert escape.plain(TERMINAL["title"]) == "after" and escape.plain(TERMINAL["hyperlink"]) == "name"
    assert "\x1b" not in escape.message("\n".join(TERMINAL.values()))


def test_what_cannot_be_seen_is_written_out():
    assert escape.plain("a\0b\u202e") == r"a\x00b\u202e"
    assert escape.plain("a\r\nb\tc") == "a b c"
    assert escape.plain(LETTERS["stacked"]) == "a" + 4 * "\u0301"


def test_a_message_keeps_its_lines_and_both_its_ends():
    assert escape.message("two:\n  - a\n  - b\x1b[1m") == "two:\n  - a\n  - b"
    shown = escape.message("found " + "x" * 10**6 + " Do this.")
    assert len(shown) == escape.MESSAGE and shown.startswith("found x") and shown.endswith(" Do this.")


def test_json_stays_in_its_script_element():
    shown = escape.script_json(ALL)
    assert "<" not in shown and json.loads(shown) == ALL and shown.isascii()
    with pytest.raises(ValueError):
        escape.script_json(float("nan"))


def test_a_framed_document_is_as_it_was():
    page = f"<p>{escape.html(ALL['image'])}</p>\n<script>a < b && c</script>"
    (found,) = re.findall('"(.*)"', f'<iframe srcdoc="{escape.document(page)}">', re.DOTALL)
    parsed = HTMLParser()
    parsed.handle_starttag = lambda tag, attributes: seen.append(dict(attributes)["srcdoc"])
    seen: list[str] = []
    parsed.feed(f'<iframe srcdoc="{found}">')
    assert seen == [page]


def test_nothing_else_escapes_or_displays():
    """So that there is one place to look at; what is added must go through it, too."""
    uses = {r"\bhtml\.escape\(": {"utils/escape.py"}, r"\bMarkdown\(": {"viz/shown.py", "runner/pages.py"},
            r"\bdisplay\(": {"viz/shown.py", "study.py"}, r"\.style\.format\(": {"viz/shown.py"},
            r"(?<!widgets\.)\bHTML\(": {"viz/rollout_figures.py"}}
    for pattern, known in uses.items():
        found = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")
                 if re.search(pattern, path.read_text())}
        assert found <= known, pattern
