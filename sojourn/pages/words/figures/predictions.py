"""Words of the figures of predictions: captions, findings and hover labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sojourn.pages.words.numbers import (
    say_amount,
    say_days,
    say_probability,
    say_score,
    say_share,
    say_times,
    say_window,
)

RANKING_ABOUT = (
    "Customers held out, the likeliest first. Gain: how many of those to whom it happens are among the first so many "
    "customers; dashed, customers in any order. Lift: how many times as many there are in each tenth as in all. "
    "ROC: the same as gain, against the share of the others who are reached too."
)
CALIBRATION_ABOUT = (
    "Ten groups of equal size: the probability they were given, and the share to whom it happened, with 95\u00a0% "
    "intervals. On the dashed line every promise is kept; below it too much was promised."
)
CANDIDATES_ABOUT = (
    "Area under the ROC curve on customers held out: 0.5 is as good as chance, 1 is always right. Easiest to read at "
    "the top. Blue: each input's part can be read. Grey: it cannot. Bars are one standard error over the five folds; "
    "those are of each model by itself, so models whose bars overlap may still differ."
)
PROFIT_ABOUT = (
    "What acting on everybody from a probability on would have brought, per customer held out. The dashed line is the "
    "threshold in use: what acting costs over what it brings when it was right."
)
WEIGHTS_ABOUT = (
    "How much each input moves the log-odds of a customer, on average over customers. It says what the model looks at, "
    "not what would change if the input were changed."
)
INPUTS_ABOUT = (
    "The same kind of model on other inputs, judged on the same customers. Bars are one standard error of each. "
    "RFM rules: how recent, how often, how much."
)
WARNING_ABOUT = (
    "Customers of the weeks before who fell silent for good, as the silence rule sees it in the end. Bars: median days "
    "by which each alarm came before the rule. Both alarms are set to the same share of false ones."
)
SIGNALS_ABOUT = (
    "How much each input changed over four weeks: customers who were lost, up to the warning, against those who "
    "stayed, in standard deviations. Left of the line it declined before customers left."
)
STATE_ABOUT = (
    "The same kind of model on different inputs, judged on later time and other customers. Log loss is the surprise at "
    "what happened, per customer. Bars are one standard error."
)
WEIGHTS_MISSING = "No input counts: everybody gets the same probability."
SIGNALS_MISSING = "Too few customers were warned of to say what changed before."


def say_ranking(first: Mapping[str, Any]) -> str:
    """What the likeliest tenth holds."""
    return (
        f"The likeliest tenth holds {say_share(first['gain'])} of all to whom it happens, "
        f"{say_times(first['lift'])} as in a tenth drawn at random."
    )


def say_calibration(n_within: int, n: int) -> str:
    """In how many groups the share that happened agrees with the probability."""
    return f"In {n_within} of {n} groups it happened as often as was promised, within what chance does."


def say_candidates(card: Mapping[str, Any], n_tried: int) -> str:
    """Which model is in use and why, and what being able to read it costs."""
    price = card["price"]
    text = f"In use: {card['deployed']}, " + ("which no other beats." if n_tried > 1 else "the only one tried.")
    if card["deployed"] != card["best"]:
        text = f"In use: {card['deployed']}, the most readable of those as good as the best ({card['best']})."
    if "auc_price" not in price:
        return text
    return (
        f"{text} The best model that can be read has AUC {say_score(price['auc_glass'])}, the best that cannot "
        f"{say_score(price['auc_black'])} (difference ± {say_score(price['auc_se'])})."
    )


def say_profit(limit: Mapping[str, Any]) -> str:
    """From which probability on acting pays, and how much."""
    return (
        f"Acting pays from a probability of {say_probability(limit['p'])} on, that is on "
        f"{say_share(limit['share_acted'])} of the customers: {say_amount(limit['profit'])} each; on everybody it "
        f"would be {say_amount(limit['profit_all'])}."
    )


def say_weights(rows: Sequence[Mapping[str, Any]]) -> str:
    """Which input counts most."""
    total = sum(r["weight"] for r in rows)
    return f"{rows[0]['column']} counts most: {say_share(rows[0]['weight'] / total)} of all that inputs say."


def say_early(warning: Mapping[str, Any], leads: Sequence[float]) -> str:
    """How many the model warns of and how early, against a shorter silence."""
    return (
        f"The model warns of {say_share(warning['warned'])} of those who fall silent, {say_days(leads[0])} before "
        f"the silence rule; {say_days(warning['rule_days'])} of silence would warn of "
        f"{say_share(warning['rule_warned'])}, {say_days(leads[1])} before."
    )


def say_first_sign(row: Mapping[str, Any]) -> str:
    """Which input changes most before customers leave."""
    way = "declines" if row["difference"] < 0 else "rises"
    return f"{row['column']} {way} most before customers leave, against those who stay."


def say_state_ahead(horizon_s: float, best: Mapping[str, Any]) -> str:
    """From which inputs the later state is predicted best."""
    return (
        f"The state in {say_window(horizon_s)} is predicted best from {best['inputs']}: right for "
        f"{say_share(best['right'])} of the customers."
    )
