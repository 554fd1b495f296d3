"""Pages: self-contained HTML files that all extend one template, ``base.html.j2``.

A page loads nothing from anywhere: plotly.js comes from the wheel and is inlined once, and a content security policy in
the page allows only its own two scripts, by their hashes. Every text from playbook or data is escaped, in the HTML by
Jinja, in the figures' data by :func:`embed_figure`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

LOADER = """
(function () {
  "use strict";
  var options = {displayModeBar: false, displaylogo: false, responsive: true, scrollZoom: false, doubleClick: "reset"};
  function draw(box) {
    if (box.dataset.drawn) { return; }
    box.dataset.drawn = "yes";
    var spec = JSON.parse(document.getElementById(box.dataset.figure).textContent);
    Plotly.newPlot(box, spec.data, spec.layout, options);
  }
  var boxes = Array.prototype.slice.call(document.querySelectorAll("[data-figure]"));
  // One at a time, from the top, with pauses in which the page can scroll.
  function drawNext(i) {
    if (i < boxes.length) { draw(boxes[i]); setTimeout(drawNext, 0, i + 1); }
  }
  window.addEventListener("beforeprint", function () { boxes.forEach(draw); });
  drawNext(0);
})();
"""


def fill_page(template: str, page: Mapping[str, Any], figures: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """A page from one of the package's templates: ``page`` holds its words, ``figures`` those of :func:`embed_figure`.

    Texts are escaped here. The page loads nothing; with figures it runs plotly.js and :data:`LOADER`, else no script.
    """
    folder = files("sojourn.pages") / "templates"
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
    )
    scripts = [] if figures is None else [_read_plotly(), LOADER]
    return environment.get_template(template).render(
        page=page, figures=figures or {}, scripts=scripts, policy=write_policy(scripts)
    )


def _read_plotly() -> str:
    """plotly.js with the line ends that a browser reads: a script's hash is over that text."""
    # plotly: its bundle is read only for a page with figures
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).replace("\r\n", "\n")


def write_policy(scripts: list[str]) -> str:
    """A content security policy under which only these inline scripts run, and nothing is fetched.

    >>> write_policy([""])[:52]
    "default-src 'none'; script-src 'sha256-47DEQpj8HBSa+"
    >>> write_policy([])[:38]
    "default-src 'none'; script-src 'none';"
    """
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts
    )
    none = "'none'"
    return (
        f"default-src {none}; script-src {hashes or none}; style-src 'unsafe-inline'; img-src data: blob:; "
        "connect-src 'none'; form-action 'none'; base-uri 'none'"
    )


def embed_figure(figure: Figure) -> Mapping[str, Any]:
    """A figure for the page: its data as JSON that cannot end the script element it stands in, and its words.

    The title becomes the page's heading; colours of text and grid are the page's, so that they follow light and dark.
    """
    # plotly: its bundle is read only for a page with figures
    import plotly.io as pio

    spec = figure.to_plotly_json()
    layout = dict(spec["layout"])
    meta = dict(layout.pop("meta"))
    layout.pop("title", None)
    top = (layout.get("margin") or {}).get("t", 8)
    layout |= {"height": meta["height"], "dragmode": False, "autosize": True}
    layout["margin"] = {"l": 4, "r": 8, "b": 8, **(layout.get("margin") or {}), "t": top}
    text = pio.to_json({"data": spec["data"], "layout": layout}, validate=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return {
        "json": text,
        "title": meta["title"],
        "about": meta["about"],
        "height": meta["height"],
        "min_width": meta["min_width"],
        "columns": meta["columns"],
        "rows": meta["rows"],
        "is_empty": meta.get("is_empty", False),
    }
