"""How every figure looks: colours, sizes, fonts, and the way to PNG bytes."""

import io
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import cast

import matplotlib
import matplotlib.style
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font
from matplotlib.text import Text

# M. Okabe and K. Ito, "Color Universal Design" (2002): told apart with any kind of colour vision. Their yellow is left
# out, too pale for a line on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
TRAINING, VALIDATION = COLORS[:2]
INK = "#333333"
MUTED = "#8A8A8A"
DPI = 150

_LOOK = {
    "font.size": 10.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
}

# The usual fonts of Linux, macOS and Windows for scripts that DejaVu Sans lacks.
_FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Noto Sans SC",
    "Noto Sans JP",
    "Noto Sans KR",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Arial Unicode MS",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Nirmala UI",
    "Leelawadee UI",
    "Segoe UI",
)


@contextmanager
def look() -> Iterator[None]:
    """Settings that a figure is made under; the reader's own matplotlib settings come back at the end."""
    with matplotlib.style.context(["default", _LOOK]):
        yield


def fonts() -> list[str]:
    """DejaVu Sans, which comes with matplotlib, then the installed fonts for the scripts that it lacks."""
    return ["DejaVu Sans", *(name for name in _FALLBACKS if name in _installed())]


@cache
def _installed() -> frozenset[str]:
    """Names of the installed fonts, also of those that came after matplotlib had written its list of them."""
    listed = {font.fname for font in font_manager.fontManager.ttflist}
    for file in font_manager.findSystemFonts():
        if file not in listed:
            with suppress(OSError, RuntimeError):  # a broken font is no reason to fail
                font_manager.fontManager.addfont(file)
    return frozenset(font_manager.get_font_names())


def letters_without_font(texts: Iterable[str]) -> str:
    """The letters of texts that none of `fonts` has, each once, in their order: they are drawn as boxes."""
    known = frozenset[int]().union(*(_letters(font_manager.findfont(name)) for name in fonts()))
    shown = "".join(shorten(text, len(text) + 2) for text in texts)
    return "".join(letter for letter in dict.fromkeys(shown) if ord(letter) not in known and not letter.isspace())


@cache
def _letters(file: str) -> frozenset[int]:
    """What a font file has, as code points."""
    return frozenset(get_font(file).get_charmap())


def shorten(name: str, longest: int) -> str:
    """A name on one line of at most `longest` characters (two or more), the middle given up for an ellipsis.

    Characters that no font can show become spaces or escapes.
    """
    shown = name.encode("utf-8", "backslashreplace").decode("utf-8")
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in shown).split())
    if len(shown) <= longest:
        return shown
    tail = (longest - 1) // 2
    return f"{shown[: longest - 1 - tail]}…{shown[len(shown) - tail :]}"


def columns(text: str) -> int:
    """The width of a text in letters, Chinese, Japanese and Korean ones counted twice."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def settle_texts(figure: Figure) -> None:
    """Gives all texts the fallback fonts, and takes a dollar sign in a name for what it is, not for mathematics."""
    families = fonts()
    for text in cast(list[Text], figure.findobj(Text)):
        text.set_fontfamily(families)
        text.set_parse_math(False)


@look()
def to_png(figure: Figure, *, dpi: int = DPI) -> bytes:
    """The figure as a PNG file's bytes, at `dpi` pixels an inch.

    A character that no installed font has is drawn as a box, without a warning.
    """
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font", category=UserWarning)
        figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()
