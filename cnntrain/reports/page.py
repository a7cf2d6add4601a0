"""From what a report says to the page: one HTML text that loads nothing."""

import base64
import hashlib
import math
import re
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cnntrain.reports.content import Report

MOST_IN_MATRIX = 100  # classes; above, the matrix gives way to a list of confusions

_SHADES = 10
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")  # control characters, bytes that are not UTF-8


def render(report: Report) -> str:
    """The page as text that can be written as UTF-8.

    Names of classes and files are anybody's text: all of it is escaped. A policy inside the page forbids whatever is
    not part of it: only its own style and script are allowed, by their checksums, and pictures in data URIs.
    """
    style, script = _part("page.css"), _part("page.js")
    page = _environment().get_template("page.html")
    text = page.render(
        report=report,
        measured=report.measured,
        style=Markup(style),  # noqa: S704 - ours
        script=Markup(script),  # noqa: S704 - ours
        policy=_policy(style, script),
        most_in_matrix=MOST_IN_MATRIX,
    )
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("cnntrain", "reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": _percent,
        "chance": _chance,
        "number": _number,
        "shade": _shade,
        "breakable": _breakable,
    }
    return environment


def _part(name: str) -> str:
    return (resources.files("cnntrain.reports") / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Forbids everything but what the page holds."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_checksum(style)}'; script-src '{_checksum(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _checksum(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _chance(probability: float) -> str:
    """A probability that is never quite 0 or 1."""
    if probability < 0.0005:
        return "< 0.1 %"
    return "> 99.9 %" if probability >= 0.9995 else _percent(probability)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _breakable(path: str) -> Markup:
    """A path that may go on in a new line after each slash; the text stays the same."""
    return Markup("/<wbr>").join(path.split("/"))


def _shade(share: float) -> int:
    """1 to 10 for a share above 0; of its square root, or a class's few mistakes could not be seen."""
    return max(1, math.ceil(_SHADES * math.sqrt(share)))
