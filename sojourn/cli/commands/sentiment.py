"""The command `sentiment`: scores texts, compares scores with labels, and learns from labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sojourn.cli import print as output
from sojourn.cli.options import Json, Seed
from sojourn.pages.words import say_count, say_difference, say_integer, say_score
from sojourn.pipelines import sentiment as job

SHORT_HELP = "How favourable texts are, and a model learned from labels."


def command(
    file: Annotated[
        str, typer.Argument(metavar="FILE", show_default=False, help="Texts: .csv, .tsv, .parquet or .jsonl.")
    ],
    text: Annotated[str, typer.Option("--text", metavar="COLUMN", help="The column of texts.")] = "text",
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            metavar="COLUMN",
            show_default=False,
            help="Labels to compare with or to learn from: numbers, or positive and negative.",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="MODEL", show_default=False, help="A learned model to score with."),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option("--train", metavar="MODEL", show_default=False, help="Learn from --label into this JSON file."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", show_default=False, help="Parquet file for the scores."),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Example: `sojourn sentiment reviews.csv --label stars --train reviews.json`

    Scores how favourable texts are, from -1 to 1, as `sentiment(column)` in a playbook does. Texts in a language that
    neither lexicon nor model knows get no score. With labels it says how well the scores agree with them.
    """
    with output.progress_bars(is_silent=as_json) as progress:
        found = job.sentiment(
            file, text=text, label=label, model=model, train=train, out=out, seed=seed, progress=progress
        )
    if as_json:
        output.print_json(found.facts)
    else:
        _print_facts(found.facts, out)


def _print_facts(facts: Mapping[str, Any], out: Path | None) -> None:
    mean = facts["mean"]
    split = (
        ""
        if mean is None
        else f", {say_integer(facts['favourable'])} favourable, {say_integer(facts['unfavourable'])} unfavourable"
    )
    centre = "" if mean is None else f": mean {say_difference(mean)}"
    output.say(f"{say_count(facts['texts'], 'text')}, {say_integer(facts['scored'])} scored{centre}{split}")
    if facts["not_scored"]:
        told = ", ".join(f"{name} {say_integer(n)}" for name, n in facts["not_scored"].items())
        output.say(f"Not scored, since the language is not known: {told}")
    if agreement := facts.get("agreement"):
        output.say(
            f"Against {say_integer(agreement['compared'])} of {say_integer(agreement['labelled'])} labels: "
            f"{_say_number(agreement)}"
        )
    if trained := facts.get("trained"):
        output.say(
            f"Learned from {say_integer(trained['texts'])} texts "
            f"({', '.join(trained['languages']) or 'no known language'}), "
            f"{say_integer(trained['terms'])} terms."
        )
        evaluation = trained["evaluation"]
        lexicon = {k.removeprefix("lexicon_"): v for k, v in evaluation.items() if k.startswith("lexicon_")}
        own = {k: v for k, v in evaluation.items() if not k.startswith("lexicon_")}
        output.say(f"On texts it had not seen (ten folds): {_say_number(own)}; the lexicon: {_say_number(lexicon)}")
        output.say(f"Written  {trained['file']}")
    if out is not None:
        output.say(f"Written  {out}")


def _say_number(numbers: Mapping[str, Any]) -> str:
    names = {"accuracy": "accuracy", "auc": "AUC", "correlation": "correlation"}
    return ", ".join(f"{names[k]} {say_score(v)}" for k, v in numbers.items() if k in names) or "nothing to compare"
