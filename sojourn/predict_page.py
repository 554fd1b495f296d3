"""A page about predictions for people: how good, why, what states add, what to doubt. It works offline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Predictions</title><style>
body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#1c2733}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}th,td{padding:.2rem .8rem .2rem 0;text-align:right}
th:first-child,td:first-child{text-align:left}th{font-weight:600;border-bottom:1px solid #bbb}
.bar{display:inline-block;height:.8rem;background:#2f6f9f;vertical-align:middle}.warn{border-left:4px solid #c2410c;
padding-left:.8rem}h2{margin-top:2.5rem}.base{background:#c9d6df}</style></head><body>
<h1>What customers will do next</h1>
{% for card in cards %}<h2>{{ card.outcome }}</h2>
{% if card.deployed is not defined %}<p>Not predicted: {{ card.why_not }}.</p>
{% else %}
<p>It happens to {{ share(card.base_rate) }}. The likeliest tenth holds {{ share(card.gains[0].gain) }} of all to whom
it happens: {{ "%.1f"|format(card.gains[0].lift) }} times as many as a tenth drawn at random.
In use: {{ card.deployed }}.</p>
{% if card.window is defined %}<p>Learned at {{ card.window.train_at|length }} instants up to
{{ card.window.train_at[-1][:10] }}, judged at {{ card.window.test_at[:10] }} on other customers.</p>{% endif %}
{% for leak in card.leaks %}<p class="warn">{{ leak.why }}.</p>{% endfor %}
<h3>Of ten equal groups, the likeliest first: how many it happened to, and how many were promised</h3>
<table><tr><th>group</th><th>happened</th><th>promised</th><th style="text-align:left">&nbsp;</th></tr>
{% for row in card.gains %}<tr><td>{{ row.group }}</td><td>{{ share(row.kept) }}</td><td>{{ share(row.promised) }}</td>
<td style="text-align:left">
<span class="bar" style="width:{{ (160 * row.kept / top(card.gains))|round(1) }}px"></span></td>
</tr>{% endfor %}</table>
<h3>What counts</h3><table>{% for row in card.weights[:8] %}<tr><td>{{ row.column }}</td><td style="text-align:left">
<span class="bar" style="width:{{ (160 * row.weight / (card.weights[0].weight or 1))|round(1) }}px"></span></td></tr>
{% endfor %}</table>
<h3>Which model, and what reading it costs</h3><p>{{ card.price_in_words }}</p>
<table><tr><th>model</th><th>log loss</th><th>AUC</th><th>right</th></tr>{% for c in card.candidates %}<tr>
<td>{{ c.name }}{{ " (in use)" if c.name == card.deployed }}</td>{% if c.why_not %}<td colspan="3">{{ c.why_not }}</td>
{% else %}<td>{{ "%.4f"|format(c.log_loss) }}</td><td>{{ "%.3f"|format(c.auc) }}</td><td>{{ share(c.accuracy) }}</td>
{% endif %}</tr>{% endfor %}</table>
{% if card.inputs is defined %}<h3>What the states add</h3><p>{{ card.inputs_in_words }}</p>
<table><tr><th>inputs</th><th>log loss</th><th>AUC</th></tr>{% for row in card.inputs %}<tr><td>{{ row.inputs }}</td>
<td>{{ "%.4f"|format(row.log_loss) }}</td><td>{{ "%.3f"|format(row.auc) }}</td></tr>{% endfor %}</table>{% endif %}
{% endif %}{% endfor %}
{% if warning %}<h2>Early warning</h2><p>{{ warning }}</p>{% endif %}
</body></html>
"""


def render_page(facts: Mapping[str, Any], warning: str | None = None) -> str:
    """The HTML of what ``prediction_models.json`` says; ``warning`` is the sentence about early warning.

    >>> card = {"outcome": "churn <b>", "why_not": "the history is too short"}
    >>> "churn &lt;b&gt;" in render_page({"outcomes": [card]})
    True
    """
    from jinja2 import Environment

    page = Environment(autoescape=True).from_string(_PAGE)
    return page.render(cards=facts["outcomes"], warning=warning, share=_share, top=_top)


def _share(p: float) -> str:
    return f"{100 * p:.1f} %"


def _top(gains: list[Mapping[str, float]]) -> float:
    return max((row["kept"] for row in gains), default=0.0) or 1.0
