"""The command line as a person meets it: help, results, errors and their exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

import sojourn
from sojourn.cli import print as cli_output
from sojourn.cli.main import app
from sojourn.errors import Problem, SojournError
from tests import ROOT

FILES = [
    "customers.parquet",
    "history.parquet",
    "transitions.parquet",
    "quarantine.parquet",
    "fingerprints.parquet",
    "model.json",
    "run.json",
    "report.html",
]


def call(*args: str | Path) -> Any:
    """The result of `sojourn ARGS`, within this process."""
    return CliRunner(env={"NO_COLOR": "1"}).invoke(app, [str(arg) for arg in args])


def in_shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The result of a bash command in which `sojourn` is the one under test."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the examples of the help texts have been run, in an order that makes sense."""
    folder = tmp_path_factory.mktemp("examples")
    for command in ("simulate", "init", "check", "run", "explain", "brief"):
        done = in_shell(example_of(command), folder)
        assert done.returncode == 0, f"{example_of(command)}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        (folder / f"{command}.txt").write_text(done.stdout, encoding="utf-8")
    return folder


def example_of(command: str) -> str:
    root: Any = typer.main.get_command(app)
    found = re.match(r"Example: `(sojourn [^`]+)`", root.get_command(None, command).help)
    assert found, f"the help of {command} opens without an example"
    return found[1]


# ---- without a run ----


def test_version() -> None:
    result = call("--version")
    assert (result.exit_code, result.stdout) == (0, f"sojourn {sojourn.__version__}\n")


@pytest.mark.parametrize("command", ["run", "check", "init", "explain", "simulate", "demo"])
def test_help_opens_with_its_example(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    assert lines[0].startswith("Usage: ")
    assert lines[1] == f"Example: {example_of(command)}"


def test_an_unknown_option_is_an_input_error() -> None:
    result = call("demo", "--sed", "1")
    assert result.exit_code == 2
    assert "--sed" in result.stderr
    assert not result.stdout


def test_init_copies_a_ready_playbook_and_refuses_to_overwrite(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    first = call("init", folder, "--playbook", "saas")
    assert first.exit_code == 0, first.stderr
    written = (folder / "playbook.yaml").read_text(encoding="utf-8")
    assert "playbook: saas" in written

    (folder / "playbook.yaml").write_text("mine", encoding="utf-8")
    second = call("init", folder, "--playbook", "saas")
    assert second.exit_code == 2
    assert "--force" in second.stderr
    assert (folder / "playbook.yaml").read_text(encoding="utf-8") == "mine"

    assert call("init", folder, "--playbook", "saas", "--force").exit_code == 0
    assert (folder / "playbook.yaml").read_text(encoding="utf-8") == written


def test_init_knows_the_nearest_ready_playbook(tmp_path: Path) -> None:
    result = call("init", tmp_path / "x", "--playbook", "shp")
    assert result.exit_code == 2
    assert "Did you mean 'shop'?" in result.stderr
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--now", "soon"], "--now: 'soon' is not a date or time"),
        (["--now", "2025-13-01"], "--now: '2025-13-01' is not a date or time"),
        (["--playbook", "shp"], "shp"),
        (["--out", "a-file"], "a-file is a file, not a folder"),
        ([], "none.parquet"),
    ],
)
def test_unusable_input_is_one_line_and_exit_2(
    options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("", encoding="utf-8")
    result = call("run", "none.parquet", "--playbook", "shop", "--out", "results", *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    assert not result.stdout
    assert not (tmp_path / "results").exists()


def test_every_problem_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise SojournError(Problem("a.yaml:1", "first"), Problem("a.yaml:2", "second", near="2nd"))

    monkeypatch.setattr("sojourn.pipelines.run.run", fail)
    result = call("run", "x", "-p", "shop", "-o", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "error: a.yaml:1: first.",
        "error: a.yaml:2: second. Did you mean '2nd'?",
    ]


def test_a_fault_says_how_to_report_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise ZeroDivisionError("of course")

    monkeypatch.setattr("sojourn.pipelines.run.run", fail)
    plain = call("run", "x", "-p", "shop", "-o", tmp_path)
    assert plain.exit_code == 1
    assert "ZeroDivisionError: of course" in plain.stderr
    assert "report" in plain.stderr
    assert "--debug" in plain.stderr
    assert "Traceback" not in plain.stderr

    debug = call("--debug", "run", "x", "-p", "shop", "-o", tmp_path)
    assert debug.exit_code == 1
    assert "Traceback" in debug.stderr
    assert "in fail" in debug.stderr


def test_ctrl_c_is_one_line_and_exit_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sojourn.pipelines.run.run", stop)
    result = call("run", "x", "-p", "shop", "-o", tmp_path)
    assert result.exit_code == 130
    assert result.stderr == "error: Stopped by Ctrl-C.\n"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2025-06-01", "2025-06-01T00:00:00+00:00"),
        ("2025-06-01T12:00:00Z", "2025-06-01T12:00:00+00:00"),
        ("2025-06-01T12:00:00+02:00", "2025-06-01T10:00:00+00:00"),
    ],
)
def test_now_is_read_as_utc(text: str, instant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def remember(events: Any, playbook: Any, **options: Any) -> None:
        seen.update(options, events=events, playbook=playbook)
        raise SojournError("enough")

    monkeypatch.setattr("sojourn.pipelines.run.run", remember)
    call("run", "a", "b", "-p", "shop", "-o", tmp_path, "--now", text, "--seed", "3", "--threads", "2")
    assert seen["now"].isoformat() == instant
    assert (seen["events"], seen["playbook"]) == (["a", "b"], "shop")
    assert (seen["seed"], seen["n_threads"], seen["out"]) == (3, 2, tmp_path)


def test_nothing_is_drawn_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with cli_output.progress_bars() as progress:
        progress("fold", 1, 2)
    assert capsys.readouterr() == ("", "")


# ---- with a run ----


@pytest.mark.slow
def test_the_examples_of_the_help_texts_run(shop: Path) -> None:
    assert sorted(p.name for p in (shop / "results").iterdir() if p.name in FILES) == sorted(FILES)
    assert (shop / "my-shop" / "playbook.yaml").is_file()


@pytest.mark.slow
def test_the_summary_has_rows_states_moves_and_report(shop: Path) -> None:
    text = (shop / "run.txt").read_text(encoding="utf-8")
    facts = json.loads((shop / "results" / "run.json").read_text(encoding="utf-8"))
    rows = facts["rows"]
    assert rows["read"] == rows["accepted"] + rows["duplicate"] + rows["quarantined"]
    assert f"{rows['read']:,} rows read: {rows['accepted']:,} accepted" in text
    for state in ("discovery", "decision", "commitment", "reinforcement", "fading"):
        assert re.search(rf"^{state} +[\d,]+ ", text, re.M), state
    assert " → " in text
    assert "held-out fit" in text
    assert "flaps per customer and month" in text
    assert text.splitlines()[-1] == "Report: results/report.html"


@pytest.mark.slow
def test_every_file_and_key_is_in_the_reference(shop: Path) -> None:
    text = (ROOT / "docs" / "reference" / "outputs.md").read_text(encoding="utf-8")
    files = {p.name for p in (shop / "results").iterdir() if not re.fullmatch(r"example_[2-9]\.parquet", p.name)}
    names = {n for n in files if f"`{n}`" not in text and f"`{n.removesuffix('.parquet')}`" not in text}
    assert not names
    for name in ("run.json", "model.json"):
        keys = json.loads((shop / "results" / name).read_text(encoding="utf-8"))
        assert [key for key in keys if f"`{key}`" not in text] == []
    for name in ("matrix", "weekly", "flow", "dwell", "precedes", "triggers"):
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        columns = pq.read_schema(shop / "results" / f"{name}.parquet").names
        assert [c for c in columns if f"`{c}`" not in row] == []
    velocity = ("velocity", "velocity_changes", "velocity_cohorts")
    for name in ("journeys", "paths", "channels", "values", "moments", *velocity):
        section = text.split(f"## {name}.parquet")[1].split("\n## ")[0]
        columns = pq.read_schema(shop / "results" / f"{name}.parquet").names
        assert [c for c in columns if f"`{c}`" not in section] == []


@pytest.fixture(scope="module")
def again(shop: Path) -> subprocess.CompletedProcess[str]:
    """The same run as in the folder `results` of the shop, on one thread, as JSON, into the folder `again`."""
    return in_shell("sojourn run shop-data/events.parquet -p shop -o again --json --threads 1 --seed 0", shop)


@pytest.mark.slow
def test_json_is_alone_on_standard_output(shop: Path, again: subprocess.CompletedProcess[str]) -> None:
    assert again.returncode == 0, again.stderr
    assert not again.stderr
    facts = json.loads(again.stdout)
    customers = pq.read_table(shop / "again" / "customers.parquet")
    assert sum(facts["states"].values()) == facts["customers"] == customers.num_rows
    assert facts["report"] == "again/report.html"
    moves = pq.read_table(shop / "again" / "matrix.parquet")
    assert facts["moves"][0]["n"] == max(moves["n"].to_pylist())


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes(shop: Path, again: subprocess.CompletedProcess[str]) -> None:
    assert again.returncode == 0, again.stderr
    tables = sorted(p.name for p in (shop / "results").glob("*.parquet"))
    assert tables == sorted(p.name for p in (shop / "again").glob("*.parquet"))
    differ = [n for n in tables if (shop / "results" / n).read_bytes() != (shop / "again" / n).read_bytes()]
    assert not differ


@pytest.mark.slow
def test_explain_shows_the_state_and_its_reasons(shop: Path) -> None:
    text = (shop / "explain.txt").read_text(encoding="utf-8")
    row = pq.read_table(shop / "results" / "customers.parquet", filters=[("customer_id", "=", "c0000001")]).to_pylist()
    assert row[0]["state"] in text
    assert row[0]["reasons"][0]["what"] in text
    done = in_shell("sojourn explain c0000001 --out results --json", shop)
    found = json.loads(done.stdout)
    assert found["state"] == row[0]["state"]
    assert found["customer_id"] == "c0000001"


@pytest.mark.slow
def test_explain_of_nobody_is_an_input_error(shop: Path) -> None:
    done = in_shell("sojourn explain nobody --out results", shop)
    assert done.returncode == 2
    assert "nobody" in done.stderr
    assert "Traceback" not in done.stderr
    done = in_shell("sojourn explain c0000001 --out my-shop", shop)
    assert done.returncode == 2
    assert "my-shop" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("options", ["", " --json"])
def test_a_closed_pipe_is_no_fault(options: str, shop: Path) -> None:
    done = in_shell(f"sojourn explain c0000001 --out results{options} | true", shop)
    assert not done.stderr


@pytest.mark.slow
def test_ctrl_c_leaves_no_output(shop: Path) -> None:
    command = [
        Path(sys.executable).parent / "sojourn",
        "run",
        "shop-data/events.parquet",
        "-p",
        "shop",
        "-o",
        "stopped",
    ]
    with subprocess.Popen(command, cwd=shop, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=120)
    assert process.returncode == 130, error
    assert error == "error: Stopped by Ctrl-C.\n"
    assert not out
    left = list((shop / "stopped").iterdir()) if (shop / "stopped").exists() else []
    assert not left


@pytest.mark.slow
def test_the_demo_is_close_to_the_truth(tmp_path: Path) -> None:
    done = in_shell("sojourn demo --customers 300", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "demo" / "results" / "report.html").is_file()
    assert "Report: demo/results/report.html" in done.stdout
    right, commonest = re.findall(r"(\d+)\u00a0%", done.stdout.split("Against the truth:")[1])[:2]
    assert float(right) > float(commonest) + 20
    next_command = re.search(r"^Next: (sojourn explain .+)$", done.stdout, re.M)
    assert next_command
    assert in_shell(next_command[1], tmp_path).returncode == 0


def test_bars_are_as_long_as_their_values() -> None:
    assert len(cli_output.show_bar(1, 1)) == cli_output.BAR_WIDTH
    assert cli_output.show_bar(0, 0) == ""


def test_plain_values_survive_json() -> None:
    import numpy as np
    import pyarrow as pa

    value = {
        "table": pa.table({"a": [1, None]}),
        "array": np.array([1.5, np.nan]),
        "scalar": np.float64(2.0),
        "path": Path("x"),
        "flag": True,
    }
    assert json.loads(json.dumps(cli_output.plain(value), allow_nan=False)) == {
        "table": [{"a": 1}, {"a": None}],
        "array": [1.5, None],
        "scalar": 2.0,
        "path": "x",
        "flag": True,
    }
