"""`harness sweep`: refusals, tables, switches, precedence, presets."""

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from freewalk.harness.plan.configuration import resolve
from freewalk.harness.plan.plan import Plan
from freewalk.harness.plan.registry import BuiltInRegistry
from freewalk.results.files.export import read_csv
from freewalk.results.store.store import Store

Harness = Callable[..., Any]
Refused = Callable[..., str]

FILES = {
    *("trials.csv", "curves.csv", "summary.csv"),
    *("environment.json", "sweep.toml", "sweep.sqlite", "sweep.lock"),
}
# What no second run gives again.
VOLATILE = [
    *("sweep_id", "started_at", "finished_at", "train_seconds", "evaluation_seconds", "compile_seconds"),
    *("seconds_to_target", "peak_memory_mb"),
]


def grid(*specs: str) -> list[str]:
    return [part for spec in specs for part in ("--grid", spec)]


@pytest.mark.parametrize(
    ("arguments", "culprit", "remedy"),
    [
        (["--task", "xro"], "unknown task 'xro'", "did you mean 'xor'?"),
        (["--task", ""], "unknown task ''", "known: shifted-sums, and, or, xor"),
        (["--task", "xor", "--method", "wlak"], "unknown method 'wlak'", "did you mean 'walk'?"),
        (["--task", "xor", *grid("stdev=1")], "unknown parameter 'stdev'", "did you mean 'stddev'?"),
        (grid("quikstart"), "unknown preset 'quikstart'", "did you mean 'quickstart'?"),
        (["--task", "xor", "--backend", "cpuu"], "--backend cpuu", "did you mean 'cpu'?"),
        (["--task", "xor", "--epocs", "3"], "no option --epocs", "did you mean '--epochs'?"),
        ([], "no task given", "add --task NAME"),
        (["--task", "xor", "extra"], "extra", "harness sweep --help"),
        (["--task", "xor", *grid("")], "--grid ''", "write key=v1,v2"),
        (["--task", "xor", *grid("stddev")], "--grid 'stddev': no values", "write stddev=v1,v2"),
        (["--task", "xor", *grid("stddev=")], "--grid 'stddev=': no values", "write stddev=v1,v2"),
        (["--task", "xor", *grid("=3")], "--grid '=3': the key is empty", "write key=v1,v2"),
        (["--task", "xor", *grid("stddev=abc")], "stddev='abc'", "must be a finite number"),
        (["--task", "xor", *grid("stddev=nan")], "stddev=nan", "must be a finite number"),
        (["--task", "xor", *grid("stddev=0.1,,0.2")], "a value is empty", "without stray commas"),
        (["--task", "xor", *grid("stddev=logspace(1,2")], "parentheses do not match", "logspace(-3,-1,3)"),
        (["--task", "xor", *grid("stddev=linsapce(1,2,3)")], "'linsapce'", "did you mean 'linspace'?"),
        (["--task", "xor", *grid("stddev=1", "stddev=2")], "stddev is given twice", "in one list"),
        (["--task", "xor", *grid("stddev=1,1.0")], "the value 1.0 twice", "remove one"),
        (["--task", "xor", *grid("stddev=-1")], "stddev=-1", "at least 0"),
        (["--task", "xor", *grid("stddev=0", "update=normalised")], "stddev=0", "use a greater stddev or update=raw"),
        (["--task", "xor", *grid("update=normalized")], "update='normalized'", "did you mean 'normalised'?"),
        (["--task", "xor", *grid("batch_size=0")], "batch_size=0", "at least 1"),
        (["--task", "xor", *grid("batch_size=1.5")], "batch_size=1.5", "a whole number"),
        (["--task", "xor", *grid("timesteps=0")], "timesteps=0", "at least 1"),
        (["--task", "xor", *grid("hidden=-1")], "hidden=-1", "at least 0"),
        (["--task", "parity", *grid("form=sequence", "bits=3", "timesteps=2")], "timesteps=2 is too few", "at least 3"),
        (["--task", "addition", *grid("bits=1")], "bits=1 does not fit", "from 2 to 32"),
        (["--task", "addition", *grid("bits=33", "form=static")], "bits=33 does not fit", "from 2 to 32"),
        (["--task", "xor", *grid("bits=3")], "bits has no effect on xor", "parity"),
        (
            ["--task", "xor", *grid("learning_rate=1", "update=raw")],
            "learning_rate has no effect",
            "add update=normalised",
        ),
        (["--task", "xor", *grid("task=sign")], "--task and by --grid task", "give one of them"),
        (["--task", "xor", *grid("epochs=3")], "epochs is no axis", "--epochs"),
        (["--task", "xor", "--seeds", ""], "--seeds ''", "write such as 0:5"),
        (["--task", "xor", "--seeds", "20"], "20 seeds are 0:20", "seed 20 alone is 20:21"),
        (["--task", "xor", "--seeds", "5:2"], "--seeds '5:2'", "write such as 0:5"),
        (["--task", "xor", "--seeds", "-1"], "--seeds '-1'", "write such as 0:5"),
        (["--task", "xor", "--seeds", "x"], "--seeds 'x'", "write such as 0:5"),
        (["--task", "xor", "--seeds", "1,1"], "seed 1 is given twice", "remove one"),
        (["--task", "xor", "--epochs", "0"], "--epochs 0", "at least 1"),
        (["--task", "xor", "--epochs", "-1"], "--epochs -1", "at least 1"),
        (["--task", "xor", "--epochs", "abc"], "--epochs abc", "must be a whole number"),
        (["--task", "xor", "--steps-per-epoch", "0"], "--steps-per-epoch 0", "at least 1"),
        (["--task", "xor", "--epochs", "70000", "--steps-per-epoch", "70000"], "epochs=70000", "lower one of them"),
        (["--task", "xor", "--plateau", "0"], "--plateau 0", "at least 1"),
        (["--task", "xor", "--target", "nan"], "--target nan", "a finite number"),
        (["--task", "xor", "--evaluation-points", "0"], "--evaluation-points 0", "at least 1"),
        (["--task", "xor", "--out", ""], "--out ''", "name a folder"),
        (["--task", "xor", "--out", "/proc/x"], "--out: cannot create /proc/x", "pick another --out"),
        (["--task", "xor", *grid("stddev=linspace(0,1,3000)", "hidden=range(0,3000)")], "trials", "give fewer values"),
    ],
)
def test_mistakes_are_one_line_with_the_remedy(
    refused: Refused, arguments: list[str], culprit: str, remedy: str
) -> None:
    line = refused("sweep", *arguments)
    assert culprit in line
    assert remedy in line
    # The same words without running anything, where no folder is needed.
    if "pick another" not in remedy:
        assert refused("sweep", "--dry-run", *arguments) == line


@pytest.mark.parametrize(
    ("content", "culprit", "remedy"),
    [
        (None, "no such file", "presets"),
        (b"a = [", "not valid TOML", "correct that line"),
        (b"\xff", "not UTF-8", "save the file as UTF-8"),
        (b"epoch = 3\n[[grid]]\ntask = 'xor'", "unknown key 'epoch'", "did you mean 'epochs'?"),
        (b"epochs = 'x'\n[[grid]]\ntask = 'xor'", "epochs = 'x'", "must be a whole number"),
        (b"epochs = 0\n[[grid]]\ntask = 'xor'", "epochs = 0", "at least 1"),
        (b"seeds = '3:1'\n[[grid]]\ntask = 'xor'", "seeds = '3:1'", "write such as 0:5"),
        (b"[[grid]]\ntask = 'xor'\nstdev = 1", "unknown parameter 'stdev'", "did you mean 'stddev'?"),
        (b"[[grid]]\ntask = 'xor'\nstddev = [0.1, true]", "stddev=True", "must be a finite number"),
        (b"[[grid]]\nstddev = 1", "no task", "--task NAME"),
        (b"", "no task", "--task NAME"),
        (b"grid = 3", "grid must be one or several tables", "[[grid]]"),
    ],
)
def test_wrong_files_are_refused_by_name(
    refused: Refused, tmp_path: Path, content: bytes | None, culprit: str, remedy: str
) -> None:
    if content is not None:
        (tmp_path / "grid.toml").write_bytes(content)
    line = refused("sweep", "--grid", "grid.toml")
    assert "grid.toml" in line or "no task given" in line
    assert culprit in line
    assert remedy.rstrip("s") in line


def test_an_unreadable_file_is_refused(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "grid.toml").mkdir()
    assert "no such file" in (line := refused("sweep", "--grid", "grid.toml")) or "cannot be read" in line
    locked = tmp_path / "locked.toml"
    locked.write_text("[[grid]]\ntask = 'xor'\n")
    locked.chmod(0)
    if not os.access(locked, os.R_OK):  # root reads everything
        assert "cannot be read" in refused("sweep", "--grid", "locked.toml")


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_folder_that_is_or_lies_below_a_file(
    refused: Refused, tmp_path: Path, tiny: tuple[str, ...], name: str
) -> None:
    (tmp_path / "file").write_text("mine")
    assert "a file: pick another --out" in refused("sweep", *tiny, "--out", name)


@pytest.fixture
def done(harness: Harness, tmp_path: Path, tiny: tuple[str, ...]) -> Path:
    """A folder with the tiny sweep, complete."""
    result = harness("sweep", *tiny, "--out", "out")
    assert result.code == 0, result.err
    return tmp_path / "out"


def test_another_sweep_into_the_same_folder_is_refused(refused: Refused, done: Path, tiny: tuple[str, ...]) -> None:
    line = refused("sweep", *tiny, "--epochs", "5", "--out", "out")
    assert "out holds another sweep (epochs is 4 there and 5 here): pick another --out" in line


@pytest.mark.parametrize("name", ["trials.csv", "sweep.toml", "environment.json"])
def test_somebody_elses_files_stay(refused: Refused, tmp_path: Path, tiny: tuple[str, ...], name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    assert f"out holds {name} but no sweep.sqlite: pick another --out" in refused("sweep", *tiny, "--out", "out")


def _foreign(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda path: path.write_bytes(b"not a database" * 100), "damaged or not a database"),
        (lambda path: path.write_bytes(path.read_bytes()[:50]), "damaged or not a database"),
        (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "damaged"),
        (_foreign, "belongs to another program"),
    ],
    ids=["garbage", "header cut", "cut in half", "foreign"],
)
def test_a_spoilt_database_is_left_as_it_is(
    refused: Refused, done: Path, tiny: tuple[str, ...], spoil: Callable[[Path], None], problem: str
) -> None:
    spoil(done / "sweep.sqlite")
    line = refused("sweep", *tiny, "--out", "out")
    assert problem in line
    assert "sweep.sqlite" in line
    assert "pick another --out" in line


def test_tables_fit_together(done: Path) -> None:
    assert {path.name for path in done.iterdir()} == FILES
    trials, curves, summary = (read_csv(done / f"{name}.csv", name) for name in ("trials", "curves", "summary"))
    assert len(trials) == 8
    assert trials["trial_id"].is_unique
    assert set(trials["state"]) == {"complete"}
    assert trials["error"].isna().all()
    assert (trials["param_learning_rate"] == trials["effective_learning_rate"]).all()
    assert (trials["evaluations"] == 2 * trials["param_batch_size"] * trials["steps"]).all()
    assert (trials["reached"] == (trials["outcome"] == "reached")).all()
    assert (trials["loss_best"] <= trials["loss_final"]).all()
    # Sizes by hand: xor has 2 inputs, sign 1; both 1 output; 4 hidden; rows for input, bias, output and hidden.
    assert trials["n_weights"].tolist() == [(2 + 1 + 1 + 4) * 5] * 4 + [(1 + 1 + 1 + 4) * 5] * 4
    assert trials["target"].tolist() == [0.4] * 4 + [0.99] * 4
    assert trials["metric_name"].tolist() == ["max_error"] * 4 + ["bit_accuracy"] * 4
    assert set(trials["backend"]) == {"cpu"}
    assert (trials["train_seconds"] > 0).all()
    assert (pd.to_datetime(trials["started_at"]) <= pd.to_datetime(trials["finished_at"])).all()

    reached = trials[trials["reached"]]
    assert 0 < len(reached) < len(trials), "the tiny sweep has both kinds"
    assert reached["steps_to_target"].isin([*range(1, 21)]).all()
    assert (reached["evaluations_resolution"] == reached["evaluations_per_step"]).all(), "a look a step"
    assert (reached["steps_to_target"] == reached["steps"]).all()
    assert (reached["evaluations_to_target"] == reached["evaluations"]).all()
    missed = trials[~trials["reached"]]
    assert missed["steps_to_target"].isna().all()
    assert (missed["steps"] == 20).all()

    assert set(curves["trial_id"]) == set(trials["trial_id"])
    heldout = curves[curves["split"] == "heldout"]
    for trial in trials.itertuples():
        mine = heldout[heldout["trial_id"] == trial.trial_id]
        losses = mine[mine["metric"] == "loss"]
        assert losses["step"].tolist() == list(range(trial.steps + 1)), "a look a step"
        assert losses["value"].iloc[-1] == trial.loss_final
        assert losses["value"].min() == trial.loss_best
        assert losses["evaluations"].iloc[-1] == trial.evaluations
        assert losses["train_seconds"].iloc[-1] == trial.train_seconds
        metric = mine[mine["metric"] == trial.metric_name]
        assert metric["value"].iloc[-1] == trial.metric_final

    assert len(summary) == 4
    keys = ["task", "param_stddev"]
    counted = trials.groupby(keys, sort=False)["reached"].agg(["size", "sum"])
    assert summary["n_trials"].tolist() == counted["size"].tolist()
    assert summary["n_reached"].tolist() == counted["sum"].tolist()


def test_raw_learns_at_stddev_squared(harness: Harness, tmp_path: Path) -> None:
    result = harness(
        "sweep",
        "--task",
        "and",
        "--epochs",
        1,
        "--steps-per-epoch",
        1,
        *grid("stddev=0.5,0.25", "update=raw"),
        "--out",
        "out",
    )
    assert result.code == 0
    trials = read_csv(tmp_path / "out" / "trials.csv")
    assert trials["effective_learning_rate"].tolist() == [0.25] * 3 + [0.0625] * 3
    assert "param_learning_rate" not in trials


def test_sweep_toml_runs_the_same_sweep_again(harness: Harness, done: Path, tmp_path: Path) -> None:
    assert harness("sweep", "--grid", "out/sweep.toml", "--out", "other").code == 0
    for name in ("trials", "curves", "summary"):
        first, second = (read_csv(folder / f"{name}.csv", name) for folder in (done, tmp_path / "other"))
        gone = [
            column
            for column in first.columns
            if column in {*VOLATILE, "seconds_to_target_median", "ert_seconds"} - {"sweep_id"}
        ]
        pd.testing.assert_frame_equal(first.drop(columns=gone), second.drop(columns=gone), check_exact=True)
    assert (tmp_path / "other" / "sweep.toml").read_text() == (done / "sweep.toml").read_text()


def test_the_same_command_again_runs_nothing(harness: Harness, done: Path, tiny: tuple[str, ...]) -> None:
    before = (done / "trials.csv").read_bytes()
    result = harness("sweep", *tiny, "--out", "out")
    assert result.code == 0
    assert "8 of them done before" in result.err
    assert (done / "trials.csv").read_bytes() == before


def test_environment_json_says_what_it_ran_on(done: Path) -> None:
    facts = json.loads((done / "environment.json").read_text())
    assert {"python", "packages", "cpu", "threads", "threading_layer", "gpu", "gpu_driver", "git_revision"} <= {*facts}
    assert {"freewalk", "numba", "numpy"} <= {*facts["packages"]}
    assert facts["cpu"]["model"]
    assert facts["cpu"]["features"] == sorted(facts["cpu"]["features"])
    assert facts["threads"] >= 1


def test_the_default_folder_is_the_same_each_time(harness: Harness, tmp_path: Path, tiny: tuple[str, ...]) -> None:
    assert harness("sweep", *tiny).code == 0
    assert harness("sweep", *tiny).code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    with Store.open(folder, read_only=True) as store:
        assert folder.name == f"sweep-{store.sweep_id}"
    plain = json.loads(harness("sweep", "--grid", "quickstart", "--dry-run", "--json").out)
    assert plain["directory"].startswith("runs/quickstart-")


def test_json_is_all_there_is_on_stdout(harness: Harness, tiny: tuple[str, ...]) -> None:
    result = harness("sweep", *tiny, "--json", "--out", "out")
    assert result.code == 0
    found = json.loads(result.out)
    assert found["directory"] == "out"
    assert found["n_trials"] == 8
    assert found["states"] == {"complete": 8}
    assert sum(found["outcomes"].values()) == 8
    assert [row["n_trials"] for row in found["summary"]] == [2] * 4
    assert {row["param_stddev"] for row in found["summary"]} == {0.1, 0.5}


def test_table_to_stdout_progress_to_stderr_and_no_escape_codes(harness: Harness, tiny: tuple[str, ...]) -> None:
    result = harness("sweep", *tiny, "--out", "out")
    assert "8 trials into out" in result.err
    assert "8/8 trials" in result.err
    for word in ("xor", "sign", "reached", "stddev", "0.5", "tables in out"):
        assert word in result.out
    assert "trials/s" not in result.out
    assert "target" not in result.err
    assert "\x1b" not in result.out + result.err


def test_quiet_says_nothing(harness: Harness, tmp_path: Path, tiny: tuple[str, ...]) -> None:
    result = harness("sweep", *tiny, "--quiet", "--out", "out")
    assert (result.code, result.out, result.err) == (0, "", "")
    assert (tmp_path / "out" / "trials.csv").exists()
    assert json.loads(harness("sweep", *tiny, "--quiet", "--json", "--out", "out").out)["n_trials"] == 8


def test_a_dry_run_counts_and_runs_nothing(harness: Harness, tmp_path: Path, tiny: tuple[str, ...]) -> None:
    result = harness("sweep", *tiny, "--dry-run", "--out", "out")
    assert result.code == 0
    assert "8 trials: 4 cells x 2 seeds" in result.out
    assert "time: at most " in result.out
    assert "memory: about " in result.out
    assert result.err == ""
    facts = json.loads(harness("sweep", *tiny, "--dry-run", "--json", "--out", "out").out)
    assert (facts["n_trials"], facts["n_cells"], facts["n_merged"], facts["directory"]) == (8, 4, 0, "out")
    assert facts["seconds_at_most"] >= 0
    assert facts["memory_mb"] > 0
    assert not list(tmp_path.iterdir())


def test_equal_points_of_a_grid_run_once(harness: Harness) -> None:
    arguments = ["--task", "xor", *grid("update=raw,normalised", "optimizer=sgd,adam"), "--dry-run"]
    assert "9 trials: 3 cells (1 equal grid points merged)" in harness("sweep", *arguments).out


def test_a_table_with_parameters_that_do_not_apply_everywhere(harness: Harness, tmp_path: Path) -> None:
    arguments = ["--task", "xor", "--seeds", "0", *grid("update=raw,normalised", "optimizer=sgd,adam", "batch_size=4")]
    result = harness("sweep", *arguments, "--epochs", 1, "--steps-per-epoch", 1, "--out", "out")
    assert result.code == 0, result.err
    assert "adam" in result.out
    optimizers = read_csv(tmp_path / "out" / "trials.csv")["param_optimizer"]
    assert [None if pd.isna(name) else name for name in optimizers] == [None, "sgd", "adam"]


def seeds_and_epochs(harness: Harness, *arguments: str) -> tuple[int, str]:
    facts = json.loads(harness("sweep", "--dry-run", "--json", *arguments).out)
    return facts["n_trials"], facts["directory"]


def test_command_line_over_environment_over_file_over_default(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "grid.toml").write_text("seeds = '0:5'\n[[grid]]\ntask = 'xor'\nhidden = 3\n")
    assert seeds_and_epochs(harness, "--task", "xor")[0] == 3
    assert seeds_and_epochs(harness, "--grid", "grid.toml")[0] == 5
    monkeypatch.setenv("HARNESS_SEEDS", "0:2")
    monkeypatch.setenv("HARNESS_OUT", "there")
    assert seeds_and_epochs(harness, "--grid", "grid.toml") == (2, "there")
    assert seeds_and_epochs(harness, "--grid", "grid.toml", "--seeds", "0:7", "--out", "here") == (7, "here")
    monkeypatch.setenv("HARNESS_GRID", "grid.toml;hidden=1, 2")
    assert seeds_and_epochs(harness)[0] == 4
    monkeypatch.setenv("HARNESS_TASK", "sign or")
    assert seeds_and_epochs(harness)[0] == 8


def test_environment_variables_are_switches_too(
    harness: Harness, refused: Refused, monkeypatch: pytest.MonkeyPatch, tiny: tuple[str, ...]
) -> None:
    for name, value in {"DRY_RUN": "1", "JSON": "true", "EPOCHS": "7"}.items():
        monkeypatch.setenv(f"HARNESS_{name}", value)
    assert json.loads(harness("sweep", "--task", "xor").out)["n_trials"] == 3
    monkeypatch.setenv("HARNESS_EPOCHS", "0")
    assert "--epochs 0: must be" in refused("sweep", "--task", "xor")
    monkeypatch.setenv("HARNESS_EPOCHS", "some")
    assert "--epochs some: must be a whole number" in refused("sweep", "--task", "xor")


def test_quickstart_is_a_first_look_at_three_tasks(plan: Callable[..., Plan]) -> None:
    made = plan("quickstart")
    assert len(made.trials) >= 100
    assert len({cell.task for cell in made.cells}) >= 3
    assert len({trial.seed for trial in made.trials}) >= 3
    for name in ("stddev", "batch_size", "timesteps"):
        assert len({cell.parameters[name] for cell in made.cells}) > 1, f"{name} is what a first look varies"


def test_original_is_the_original_programs_configuration(plan: Callable[..., Plan]) -> None:
    (trial,) = plan("original").trials
    given = {key: value for key, value in trial.cell.parameters.items() if value is not None}
    assert trial.cell.task == "shifted-sums"
    assert given == {
        "architecture": "free",
        "hidden": 30,
        "timesteps": 4,
        "activation": "sigmoid",
        "output": "sigmoid",
        "leak": 1.0,
        "init_scale": 1.0,
        "init_biases": "auto",
        "batch_size": 1000,
        "tangent": "difference",
        "stddev": 0.01,
        "update": "raw",
        "sides": "one",
        "rank": "full",
        "directions": "independent",
        "noise": "gaussian",
        "generator": "philox",
        "datapoints": 1,
        "share_data": "no",
    }
    configuration = resolve(["original"], registry=BuiltInRegistry())
    assert (configuration.steps_per_epoch, configuration.epochs) == (400, 10_000)


def test_baselines_set_the_walk_beside_every_gradient_method(plan: Callable[..., Plan]) -> None:
    made = plan("baselines")
    assert (made.n_merged, len(made.cells) <= 15) == (0, True)
    for task, methods in {
        "addition": {"walk", "backprop", "numerical", "synthetic"},
        "xor": {"walk", "backprop", "numerical"},
        "shifted-sums": {"walk", "backprop", "numerical"},
    }.items():
        cells = [cell for cell in made.cells if cell.task == task]
        assert {cell.method for cell in cells} == methods
        for name in ("architecture", "hidden", "timesteps", "bits", "form", "pairs"):
            assert len({cell.parameters[name] for cell in cells}) == 1, f"{name} makes another problem of it"
    predictors = [cell.parameters["predictor"] for cell in made.cells if cell.method == "synthetic"]
    assert sorted(map(str, predictors)) == ["bias", "conditioned", "linear"]
    configuration = resolve(["baselines"], registry=BuiltInRegistry())
    assert configuration.evaluations == 2_000_000
    assert len(configuration.seeds) >= 3
