"""What comes from data, as text that a page, a figure or a terminal shows and does not obey.

Task texts, names of episodes and files, error messages, what files say of themselves, what a user typed: any of it may
hold tags, Markdown, formulas, colour codes, marks that turn the direction of writing, a NUL, ten thousand letters.
Whatever shows it takes it from here. Ordinary text comes out as it went in.
"""

import html as _html
import json
import re
import unicodedata

LIMIT = 400  # characters of a text; instructions of robots are shorter, and most errors
MESSAGE = 4000  # characters of an error in a terminal
CUT = " … "  # what stands for the middle of a longer text

_CODES = re.compile(  # of terminals
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, movements of the cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # titles, links
    r"|\x1b[ -/]*[0-~]")
_BREAKS = re.compile("\r\n|[\t\n\v\f\r\x85\u2028\u2029]")
_MARK = "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"  # that is set on the letter before
_STACKS = re.compile(f"({_MARK}{{4}}){_MARK}+")
_ACTIVE = re.compile(  # in Markdown: anywhere, at the edge of a word, in an address, at the start of a line
    r"[`*{}\[\]<>#$|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)|^[-+=:]")
_NUMBER = re.compile(r"^(\d+)([.)])")  # of a list, in Markdown
_ENTITY = re.compile(r"&(?=#?\w+;)")
# Formats that letters need: joiners, the soft hyphen, and signs around Arabic numbers. All others are invisible.
_NEEDED = frozenset("\u00ad\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2")


def plain(text: object, limit: int = LIMIT) -> str:
    """Text in one line, for figures, labels of widgets, and lines of a terminal.

    Codes of terminals are left out, line breaks and tabs are spaces, and a letter carries four marks at most. Other
    control characters, the marks of writing direction and what is invisible are shown as Python writes them (\\x00,
    \\u202e). A longer text has CUT in its middle: an error says at its start what is wrong, and at its end what to do.
    """
    text = _STACKS.sub(r"\1", _BREAKS.sub(" ", _CODES.sub("", str(text))))
    return _bounded(_visible(_bounded(text, limit)), limit)


def message(text: object, limit: int = MESSAGE) -> str:
    """Text in as many lines as it has, for a terminal; each is `plain`."""
    return "\n".join(plain(line, limit) for line in _bounded(str(text), limit).splitlines())


def html(text: object, limit: int = LIMIT) -> str:
    """Text in HTML, between tags or as the quoted value of an attribute."""
    return _html.escape(plain(text, limit))


def markdown(text: object, limit: int = LIMIT) -> str:
    """Text in Markdown: in a sentence, a list, a heading or the cell of a table."""
    words = " ".join(plain(text, limit).split())
    words = _ENTITY.sub("&amp;", words).replace("\\", "\0")  # two backslashes before a bracket would open a formula
    words = _NUMBER.sub(r"\1\\\2", _ACTIVE.sub(r"\\\g<0>", words))
    return words.replace("\0", "&#92;")


def code(text: object, limit: int = LIMIT) -> str:
    """Text in Markdown as code, such as a path; as other text where it would not stay within its quotes."""
    words = " ".join(plain(text, limit).split())
    return f"`{words}`" if words and not set("`$|\\") & set(words) else markdown(words, limit)


def script_json(value: object) -> str:
    """JSON that can stand in a script element: nothing in it can close that or open another."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def document(page: str) -> str:
    """A page of ours, whose own texts are escaped, as the value of the attribute srcdoc."""
    return _html.escape(page)


def _bounded(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    end = (limit - len(CUT)) // 4
    return text[: limit - len(CUT) - end] + CUT + text[len(text) - end :]


def _visible(text: str) -> str:
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    """The character, or where it cannot be seen how Python writes it."""
    kind = unicodedata.category(character)
    no_character = ord(character) & 0xFFFE == 0xFFFE  # two in each plane; XML must not hold them
    if kind in ("Cc", "Cs") or (kind == "Cf" and character not in _NEEDED) or no_character:
        return character.encode("unicode_escape").decode()
    return character
