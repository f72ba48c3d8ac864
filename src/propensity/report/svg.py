"""A matplotlib figure as inline SVG in the page's own colours and fonts."""

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import TypeVar

import matplotlib as mpl
import matplotlib.style
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.figure import Figure

Drawn = TypeVar("Drawn", bound=Artist)

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_TITLE, _CLASS = "title:", "class:"
_WIDE = 600
"""Units from which a drawing takes the width of the page."""
_OF_CHARTS = re.compile(r"[mg]\d")
_NUMBER = re.compile(r"-?\d+\.\d+")
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PLACED = ("d", "x", "y", "points", "transform", "width", "height")
_FONT = re.compile(r"(?:^|; ?)font(?:-\w+)?: [^;]*")


@cache
def theme() -> dict[str, str]:
    """The names of the page's colours, without ``--``, and their values on white, as the style sheet has them."""
    style = resources.files("propensity.report").joinpath("templates", "style.css").read_text(encoding="utf-8")
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", style.split("}", 1)[0]))


@contextmanager
def plain_style() -> Iterator[None]:
    """Matplotlib as it comes, whatever style a notebook has chosen: the same report everywhere.

    That its own font lacks a sign is no matter: the page's fonts write the texts.
    """
    with mpl.style.context("default"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        yield


def titled(artist: Drawn, title: str) -> Drawn:
    """Give a drawn thing words that a pointer shows."""
    artist.set_gid(_TITLE + as_xml(title))
    return artist


def classed(artist: Drawn, names: str) -> Drawn:
    """Give a drawn thing classes of the style sheet."""
    artist.set_gid(_CLASS + names)
    return artist


def as_xml(text: str) -> str:
    r"""Text in one line, without the characters that XML has no place for.

    Examples
    --------
    >>> as_xml("a\x00b\n<i>")
    'ab <i>'
    """
    return " ".join(_NOT_IN_XML.sub("", text).split())


def inline_svg(figure: Figure, name: str, title: str, description: str) -> Markup:
    """Write a figure as SVG to stand inside a page.

    Colours of the page become its variables, so that one drawing serves light, dark and paper; fonts are left to the
    style sheet; texts stay texts.

    Parameters
    ----------
    figure : Figure
        Its size in inches times 72 is that of the drawing in units.
    name : str
        The beginning of the ids in it, alone on the page.
    title, description : str
        What a screen reader says of it.

    Returns
    -------
    Markup
        The same bytes for the same figure.

    Examples
    --------
    >>> svg = inline_svg(Figure(figsize=(2, 1)), "empty", "Nothing", "There is nothing to see.")
    >>> svg[:68]
    Markup('<svg class="chart" viewBox="0 0 144 72" role="img" aria-labelledby="')
    """
    written = io.BytesIO()
    for artist in figure.findobj():
        artist.set_clip_on(False)  # nothing lies beyond the axes
    with plain_style(), mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"chart {name}"}):
        figure.savefig(written, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawn = ET.fromstring(written.getvalue())  # noqa: S314 - what matplotlib has just written
    width, height = (72 * size for size in figure.get_size_inches())
    page = ET.Element(
        "svg",
        {
            "class": "chart" if width < _WIDE else "chart wide",
            "viewBox": f"0 0 {width:g} {height:g}",
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-description",
        },
    )
    for part, words in (("title", title), ("desc", description)):
        ET.SubElement(page, part, {"id": f"{name}-{'title' if part == 'title' else 'description'}"}).text = words
    page.extend(part for part in drawn if part.tag != f"{{{_SVG}}}metadata")
    # Where a model's colour is that of something else, too, it is the model's.
    named = sorted(theme().items(), key=lambda pair: _OF_CHARTS.fullmatch(pair[0]) is not None)
    colours = {value: f"var(--{key})" for key, value in named}
    for element in page.iter():
        _adapt(element, colours, name)
    return Markup(ET.tostring(page, encoding="unicode"))  # noqa: S704 - written by ElementTree, which escapes


def _adapt(element: ET.Element, colours: dict[str, str], name: str) -> None:
    """Free an element of matplotlib's of namespaces, ids that nothing refers to, fonts, colours and long figures."""
    element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
    for sheet in element.findall(f"{{{_SVG}}}style"):
        element.remove(sheet)
    known, attributes = element.get("id", ""), element.attrib
    element.tail = None
    if element.tag not in ("text", "title", "desc"):
        element.text = None
    if attributes.get("transform", "").startswith("rotate(-0 "):
        del attributes["transform"]
    if element.tag == "g":
        attributes.pop("id", None)
        if known.startswith(_CLASS):
            attributes["class"] = known.removeprefix(_CLASS)
        if known.startswith(_TITLE):
            title = ET.Element("title")
            title.text = known.removeprefix(_TITLE)
            element.insert(0, title)
    elif known and not known.startswith(name):
        attributes["id"] = f"{name}-{known}"
    reference = attributes.pop(f"{{{_XLINK}}}href", None)
    if reference is not None:
        attributes["href"] = f"#{name}-{reference.removeprefix('#')}"
    if "style" in attributes:
        style = _FONT.sub("", attributes["style"]) if element.tag == "text" else attributes["style"]
        attributes["style"] = re.sub(r"#[0-9a-f]{6}", lambda found: colours.get(found[0], found[0]), style).strip("; ")
    for key in _PLACED:
        if key in attributes:
            attributes[key] = _NUMBER.sub(lambda found: f"{round(float(found[0]), 2) + 0:g}", attributes[key])
