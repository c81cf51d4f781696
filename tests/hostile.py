"""Texts that try to be more than text, by what each tries; every test of what data may do takes them from here.

A browser that obeys one sets `canary` on the topmost window, opens a dialog, or asks CANARY_HOST for something.
"""

CANARY_HOST = "canary.invalid"  # no such host can exist
SET = "top.canary=1"  # what a script that gets through does

HTML = {
    "script": f"<script>{SET}</script>",
    "closing": f"</script></style></title></textarea></select></td></table></iframe><script>{SET}</script><!--",
    "image": f"<img src=x onerror='{SET}'>",
    "remote image": f"<img src=http://{CANARY_HOST}/a.png>",
    "svg": f"<svg onload={SET}>",
    "double quote": f'" onmouseover="{SET}" autofocus onfocus="{SET}" x="',
    "single quote": f"' onmouseover='{SET}' autofocus onfocus='{SET}' x='",
    "frame": f'<iframe src="javascript:{SET}"></iframe>',
    "entity": f"&lt;script&gt;{SET}&lt;/script&gt; &amp; &#60;b&#62;",
    "style": f"<style>*{{background:url(http://{CANARY_HOST}/b.png)}}</style>",
    "comment": "<!-- <b>",
    "cdata": "]]> <![CDATA[ x",
}
MATH = {
    "half a formula": "$x^{",
    "formula": r"$\frac{a}{b}$ and $$\sum_{i}$$",
    "linked formula": rf"$\href{{javascript:{SET}}}{{x}}$",
    "latex brackets": r"\(x\) \[y\] \\(x\\) \begin{equation}z\end{equation}",
    "one dollar": "5 $ and 10 $",
}
MARKDOWN = {
    "link": f"[click](javascript:{SET})",
    "remote picture": f"![x](http://{CANARY_HOST}/c.png)",
    "address": f"http://{CANARY_HOST}/d and <http://{CANARY_HOST}/e>",
    "heading": "# a heading",
    "lines": "one\n# two\n- three\n\n    four\n---\n> five",
    "table": "a | b\n---|---\nc | d",
    "fence": "```{raw} html\n<b>x</b>\n```",
    "code": "`a` ``b`` ```",
    "emphasis": "**bold** _slanted_ ~~gone~~ __dunder__",
    "list": "1. first",
    "role": "{raw}`html <b>` {download}`/etc/passwd` [](x) [^1]",
    "backslashes": "\\* \\\\ C:\\new\\table\\",
    "restructured": "`x <http://canary.invalid>`_ |sub| .. raw:: html",
}
TERMINAL = {
    "colours": "\x1b[31mred\x1b[0m \x9b1mbold",
    "title": "\x1b]0;title\x07after",
    "hyperlink": f"\x1b]8;;http://{CANARY_HOST}\x1b\\name\x1b]8;;\x1b\\",
    "clear": "\x1b[2J\x1b[1;1Hwiped",
    "half an escape": "\x1b]0;no end",
    "overwritten": "true\rfake\b\b",
    "bell": "\a\x7f\x85",
}
LETTERS = {
    "nul": "a\0b",
    "bidi": "\u202egnp.exe\u202c \u2066isolated \u200fmark",
    "invisible": "\ufeffa\u200b\u2060b\U000e0041",
    "not a character": "\ufffe\uffff",
    "line separators": "a\u2028b\u2029c\vd\fe",
    "stacked": "a" + "\u0301" * 60,
    "format": "{x.foo} {0} %s %n ${HOME} $(id) `id`",
    "spreadsheet": "=cmd|' /C calc'!A0",
    "empty": "",
    "spaces": "   ",
    "long word": "w" * 10_000,
    "long text": "put the spoon on the towel " * 400,
}
TEXTS = HTML | MATH | MARKDOWN | TERMINAL | LETTERS
STORED = {name: text for name, text in TEXTS.items() if "\0" not in text and len(text) <= 10_000}  # in an episode
NAMES = {name: f"{name} {text}".translate(dict.fromkeys(b"/\\", "|")).encode()[:200].decode(errors="ignore")  # its id
         for name, text in STORED.items()}
NOT_UTF8 = {"half a pair": "a\ud800b"}  # what json.loads gives of "\ud800", and no file can hold

ORDINARY = (  # texts that must look as they did
    "put the spoon on the towel", "traj0 (camera 3): 5 % & more", "mse_over_static", "D-fg", "−5.5 % [−6.5, −4.6]",
    "Öffne die Schublade", "把勺子放在毛巾上", "ضع الملعقة على المنشفة", "שים את הכף", "👩‍🍳 cooks 🇨🇭", "naïve café",
    "a\u00a0b",
)
