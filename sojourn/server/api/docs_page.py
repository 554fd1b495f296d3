"""The page at `/docs`: the OpenAPI description to read, without a script or anything from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment

_ORDER = ("tracking", "customers", "states", "audiences", "feed", "identity", "versions", "outbox", "operations")
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ info.title }} API</title>
<style>
:root { color-scheme: light dark; --ink: #1d2433; --soft: #5b6475; --line: #d9dee8; --back: #fff; --card: #f6f8fb; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf2; --soft: #9aa5b8; --line: #333c4d; --back: #12161f; --card: #1a202c; }
}
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1rem; font: 1rem/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--back); }
h1 { margin: 0 0 .25rem; } h2 { margin: 2.5rem 0 .5rem; text-transform: capitalize; }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .4rem 0; background: var(--card); }
summary { padding: .5rem .75rem; cursor: pointer; } details > div { padding: 0 .75rem .75rem; }
code { font: .9rem/1.4 ui-monospace, monospace; } .path { font-weight: 600; overflow-wrap: anywhere; }
.method { display: inline-block; min-width: 4.6rem; font-weight: 700; } .get { color: #17803d; }
.post { color: #1d5fd1; } .delete { color: #c02626; }
@media (prefers-color-scheme: dark) { .get { color: #5bd487; } .post { color: #7fb0ff; } .delete { color: #ff8a8a; } }
.soft, .what { color: var(--soft); } table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-top: 1px solid var(--line); }
</style>
</head>
<body>
<h1>{{ info.title }} API</h1>
<p class="soft">Version {{ info.version }} · <a href="/openapi.json">openapi.json</a></p>
{% for line in info.description.split("\n\n") %}<p>{{ line }}</p>{% endfor %}
{% for tag, operations in groups.items() %}
<h2>{{ tag }}</h2>
{% for method, path, one in operations %}
<details>
<summary><span class="method {{ method }}">{{ method | upper }}</span> <code class="path">{{ path }}</code>
<span class="what">{{ one.description or one.summary }}</span></summary>
<div>
{% if one.parameters %}
<table><thead><tr><th>parameter</th><th>in</th><th>what</th></tr></thead><tbody>
{% for parameter in one.parameters %}
<tr><td><code>{{ parameter.name }}</code>{% if parameter.required %} *{% endif %}</td><td>{{ parameter.in }}</td>
<td>{{ parameter.description or "" }}</td></tr>
{% endfor %}
</tbody></table>
{% endif %}
<p class="soft">Answers: {% for status, said in one.responses.items() -%}
<code>{{ status }}</code> {{ said.description }}{{ "" if loop.last else " · " }}{% endfor %}</p>
</div>
</details>
{% endfor %}
{% endfor %}
</body>
</html>
"""


def render_docs(described: Mapping[str, Any]) -> str:
    """The page for an OpenAPI description."""
    groups: dict[str, list[tuple[str, str, Any]]] = {}
    for path, methods in described["paths"].items():
        for method, one in methods.items():
            groups.setdefault(one.get("tags", ["other"])[0], []).append((method, path, one))
    page = Environment(autoescape=True).from_string(_PAGE)
    order = sorted(groups.items(), key=lambda group: _ORDER.index(group[0]) if group[0] in _ORDER else len(_ORDER))
    return page.render(info=described["info"], groups=dict(order))
