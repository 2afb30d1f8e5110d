"""More seeds, more values and mended plug-ins in a folder that holds a sweep; what does not belong there is refused."""

import json
import sqlite3
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from freewalk.harness.methods.registered import METHODS
from freewalk.harness.parameters.parameters import PARAMETERS
from freewalk.harness.plan.plugins import unload_all
from freewalk.harness.sweep import Sweep
from freewalk.results.files.export import read_csv
from freewalk.results.files.sources import read_source

Harness = Callable[..., Any]
Refused = Callable[..., str]

BASE = ("sweep", "--task", "xor", "--grid", "hidden=2", "--grid", "timesteps=2", "--epochs", "1", "--quiet")
SMALL = (*BASE, "--steps-per-epoch", "2", "--evaluation-points", "4", "--grid", "batch_size=4")
TIMES = ["sweep_id", "started_at", "finished_at"]

METHOD = '''
from pydantic import BaseModel, Field
from freewalk.methods import ArrayTrainer, OwnMethod
class P(BaseModel):
    """Parameters."""
    reach: float = Field(0.3, gt=0, description="standard deviation of a change")
class Climb(ArrayTrainer):
    def take_step(self):
        if self.start.parameters.reach > LIMIT: raise RuntimeError("mistake")
        return float(self.random().random())
CLIMB = OwnMethod(name="climb", summary="s", make_trainer=Climb, evaluations_per_step=lambda p, b, n: 2 * b,
                  parameters=P)
'''
CLIMB = ("sweep", "--plugin", "own.py", "--task", "xor", "--method", "climb", "--grid", "reach=0.3,2", *SMALL[3:])


def table(folder: Path | str, name: Any = "trials") -> pd.DataFrame:
    found = read_csv(Path(folder) / f"{name}.csv", name)
    timed = [column for column in found if "seconds" in column or "memory" in column or column in TIMES]
    keys = [column for column in ("trial_id", "step", "split", "metric") if column in found]
    cells = ["task", *(column for column in found if column.startswith("param_"))]
    kept = found[sorted({*found} - {*timed})]
    return kept.sort_values(cells if name == "summary" else keys).reset_index(drop=True)


def asked(seeds: str, *stddevs: str, more: tuple[str, ...] = ()) -> tuple[str, ...]:
    return (*SMALL, "--seeds", seeds, "--grid", f"stddev={','.join(stddevs)}", *more)


@pytest.mark.parametrize(
    ("second", "n_trials"),
    [
        (asked("0:3", "0.1", "0.2"), 6),
        (asked("0:2", "0.1", "0.2", "0.4"), 6),
        (asked("1:4", "0.2", "0.4"), 9),
        (asked("0:1", "0.1"), 4),
        (asked("0:2", "0.2", "0.1"), 4),
        (asked("0:2", "0.1", "0.2", more=("--grid", "activation=sigmoid", "--grid", "noise=gaussian")), 4),
        (asked("0:2", "0.1", "0.2", more=("--grid", "sides=one,two")), 8),
        (asked("0:2", "0.1", "0.2", more=("--task", "sign")), 8),
    ],
    ids=["seeds", "a value", "both, in part", "fewer", "another order", "defaults", "another axis", "another task"],
)
def test_a_folder_takes_more_trials_of_the_same_settings(
    harness: Harness, tmp_path: Path, second: tuple[str, ...], n_trials: int
) -> None:
    """Tables are those of a sweep by the `sweep.toml` that is left, which also finds nothing left to do."""
    assert harness(*asked("0:2", "0.1", "0.2"), "--out", "out").code == 0
    result = harness(*second, "--out", "out")
    assert (result.code, result.err) == (0, "")
    trials = table("out")
    assert (len(trials), set(trials["state"])) == (n_trials, {"complete"})
    before = (tmp_path / "out" / "sweep.sqlite").read_bytes()
    assert harness("sweep", "--grid", "out/sweep.toml", "--out", "out", "--quiet").code == 0
    assert (tmp_path / "out" / "sweep.sqlite").read_bytes() == before
    assert harness("sweep", "--grid", "out/sweep.toml", "--out", "fresh", "--quiet").code == 0
    for name in ("trials", "curves", "summary"):
        pd.testing.assert_frame_equal(table("out", name), table("fresh", name), check_exact=True)
    assert harness("show", "out").code == 0
    assert harness(*asked("0:2", "0.1", "0.2"), "--out", "out").code == 0, "the first command goes on working"


def test_what_was_added_is_said(harness: Harness) -> None:
    assert harness(*asked("0:2", "0.1"), "--out", "out").code == 0
    loud = [argument for argument in asked("0:3", "0.1") if argument != "--quiet"]
    assert "harness: note: 1 trial more than out held before" in harness(*loud, "--out", "out").err
    assert harness("report", "out", "--quiet").code == 0


@pytest.mark.parametrize("when", ["before the store", "after the store"])
def test_a_kill_while_a_folder_grows_is_harmless(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    assert harness(*asked("0:2", "0.1"), "--out", "out").code == 0

    def killed(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(Sweep, "_record" if when == "before the store" else "_checkpoints", killed)
        with pytest.raises(RuntimeError, match="killed"):
            harness(*asked("0:3", "0.1"), "--out", "out")
    assert harness(*asked("0:3", "0.1"), "--out", "out").code == 0
    assert len(table("out")) == 3
    assert tomllib.loads((tmp_path / "out" / "sweep.toml").read_text())["seeds"] == "0:3"
    assert not list((tmp_path / "out").glob("sweep.edited*"))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (("--epochs", "2"), r"epochs is 1 there and 2 here"),
        (("--target", "0.3"), r"target is absent there and 0.3 here"),
        (("--grid", "stddev=0.3,0.4"), r"stddev is 0.1, 0.2 there and 0.3, 0.4 here): give one of its cells as well"),
        (("--method", "backprop", "--grid", "batch_size=4"), r"method is walk there and backprop here"),
    ],
)
def test_another_sweep_is_refused_in_words(
    harness: Harness, refused: Refused, other: tuple[str, ...], message: str
) -> None:
    first = (*SMALL[:-2], "--grid", "batch_size=4", "--seeds", "0:2")
    stddev = ("--grid", "stddev=0.1,0.2")
    assert harness(*first, *stddev, "--out", "out").code == 0
    given = [*first, *(stddev if "stddev" not in str(other) and "backprop" not in other else ())]
    if "--epochs" in other:
        at = given.index("--epochs")
        del given[at : at + 2]
    if "--method" in other:
        other = other[:2]
    line = refused(*given, *other, "--out", "out")
    assert "out holds another sweep" in line
    assert message in line
    assert "pick another --out" in line


def test_a_merged_folder_is_not_gone_on_with(harness: Harness) -> None:
    for seeds, out in (("0:2", "a"), ("2:4", "b")):
        assert harness(*asked(seeds, "0.1"), "--out", out).code == 0
    assert harness("merge", "a", "b", "--out", "ab", "--quiet").code == 0
    result = harness(*asked("0:2", "0.1"), "--out", "ab")
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert "merged from several): pick another --out, and merge again" in result.err


def test_an_edited_document_is_not_believed(harness: Harness, tmp_path: Path) -> None:
    assert harness(*asked("0:2", "0.1"), "--out", "out").code == 0
    document = tmp_path / "out" / "sweep.toml"
    truth = document.read_text()
    document.write_text("# mine\n" + truth)
    assert harness(*asked("0:2", "0.1"), "--out", "out").code == 0
    assert document.read_text() == "# mine\n" + truth, "a comment changes nothing"
    for edited in (truth.replace("epochs = 1", "epochs = 999"), "x = " + "[" * 3000 + "]" * 3000, "=", ""):
        document.write_text(edited)
        assert harness("report", "out", "--quiet").code == 0
        assert "epochs = 999" not in (tmp_path / "out" / "report.html").read_text()
        assert harness(*asked("0:2", "0.1"), "--out", "out").code == 0
        assert document.read_text() == truth
    kept = [path.read_text() for path in sorted((tmp_path / "out").glob("sweep.edited*"))]
    assert len(kept) == 4, "what somebody wrote is never lost"


@pytest.fixture
def climbed(harness: Harness, tmp_path: Path) -> Iterator[Path]:
    """A plug-in, and a folder in which two of its four trials failed."""
    path = tmp_path / "own.py"
    path.write_text(METHOD.replace("LIMIT", "1"))
    assert harness(*CLIMB, "--seeds", "0:2", "--out", "out").code == 1
    yield path
    unload_all()


@pytest.mark.parametrize("change", ["# a comment", '"""A text."""', "\n\n"])
def test_comments_and_layout_of_a_plug_in_change_nothing(
    harness: Harness, climbed: Path, tmp_path: Path, change: str
) -> None:
    before = table("out")
    climbed.write_text(climbed.read_text() + change + "\n")
    assert harness(*CLIMB, "--seeds", "0:2", "--out", "out").code == 1
    pd.testing.assert_frame_equal(table("out"), before)
    assert harness("sweep", "--grid", "out/sweep.toml", "--out", "out", "--quiet").code == 1, (
        "its digest is the new one"
    )
    assert harness(*CLIMB, "--seeds", "0:3", "--out", "out").code == 1
    assert len(table("out")) == 6
    climbed.write_text(METHOD.replace("LIMIT", "1") + "# another\n")
    assert harness(*CLIMB, "--seeds", "0:3", "--out", "fresh").code == 1
    assert harness("merge", "out", "fresh", "--out", "both", "--quiet").code == 0
    assert len(table("both")) == 6


def test_a_mended_plug_in_runs_what_failed_again(
    harness: Harness, refused: Refused, climbed: Path, tmp_path: Path
) -> None:
    good = table("out").query("state == 'complete'")
    climbed.write_text(METHOD.replace("LIMIT", "100"))
    line = refused(*CLIMB, "--seeds", "0:2", "--out", "out")
    assert f"{climbed} has changed since out was begun" in line
    assert "--retry-failed" in line
    assert "--retry-failed" in refused("sweep", "--grid", "out/sweep.toml", "--out", "out")
    result = harness(*[one for one in CLIMB if one != "--quiet"], "--seeds", "0:2", "--out", "out", "--retry-failed")
    assert result.code == 0
    assert f"harness: note: {climbed} has changed" in result.err
    trials = table("out")
    assert set(trials["state"]) == {"complete"}
    kept = trials[trials["trial_id"].isin(good["trial_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        kept[["trial_id", "loss_final"]], good[["trial_id", "loss_final"]].reset_index(drop=True)
    )
    recorded = json.loads((tmp_path / "out" / "environment.json").read_text())
    assert len(recorded["earlier_plugins"]) == 1
    assert recorded["earlier_plugins"][0]["plugins"][0]["sha256"] != recorded["plugins"][0]["sha256"]
    for again in (CLIMB, ("sweep", "--grid", "out/sweep.toml", "--quiet")):
        assert harness(*again, *(("--seeds", "0:2") if again is CLIMB else ()), "--out", "out").code == 0
    assert harness(*CLIMB, "--seeds", "0:3", "--out", "fresh").code == 0
    assert harness("merge", "out", "fresh", "--out", "both", "--quiet").code == 0
    assert read_source(Path("both")).trials.groupby(["param_reach", "seed"]).size().max() == 1
    climbed.write_text(METHOD.replace("LIMIT", "1"))
    assert "has changed" in refused(*CLIMB, "--seeds", "0:2", "--out", "out"), "back again is a change too"


def test_a_sweeps_own_file_takes_the_plug_in_that_is_named(harness: Harness, climbed: Path) -> None:
    climbed.write_text(METHOD.replace("LIMIT", "100"))
    given = ("sweep", "--grid", "out/sweep.toml", "--plugin", "own.py", "--out", "out", "--retry-failed", "--quiet")
    assert harness(*given).code == 0


def test_trials_in_progress_start_again_with_a_new_text(harness: Harness, climbed: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "out" / "sweep.sqlite")) as connection, connection:
        connection.execute("INSERT INTO checkpoints VALUES (1, 5, x'00')")
    climbed.write_text(METHOD.replace("LIMIT", "100"))
    assert harness(*CLIMB, "--seeds", "0:2", "--out", "out", "--retry-failed").code == 0
    with closing(sqlite3.connect(tmp_path / "out" / "sweep.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM checkpoints").fetchone() == (0,)


def test_other_plug_ins_are_another_sweep(harness: Harness, refused: Refused, climbed: Path, tmp_path: Path) -> None:
    (tmp_path / "second.py").write_text(
        METHOD.replace("LIMIT", "1").replace("climb", "stroll").replace("reach", "wide")
    )
    line = refused(*CLIMB, "--plugin", "second.py", "--seeds", "0:2", "--out", "out", "--retry-failed")
    assert "1 plug-in there and 2 here" in line


@pytest.mark.parametrize("seeds", ['"0:2"', "[0, 1]", "3"])
def test_a_table_may_have_seeds_of_its_own(harness: Harness, tmp_path: Path, seeds: str) -> None:
    grid = '[[grid]]\ntask = "xor"\nhidden = 2\ntimesteps = 2\nbatch_size = 4\n'
    head = "epochs = 1\nsteps_per_epoch = 2\nevaluation_points = 4\nseeds = [5]\n"
    Path("own.toml").write_text(f"{head}{grid}stddev = 0.1\nseeds = {seeds}\n{grid}stddev = 0.2\n")
    assert harness("sweep", "--grid", "own.toml", "--out", "out", "--quiet").code == 0
    trials = table("out")
    own = {0, 1} if seeds != "3" else {3}
    assert set(trials.query("param_stddev == 0.1")["seed"]) == own
    assert set(trials.query("param_stddev == 0.2")["seed"]) == {5}
    assert harness("sweep", "--grid", "own.toml", "--seeds", "7:8", "--out", "seven", "--quiet").code == 0
    assert set(table("seven")["seed"]) == {7}, "the command line replaces both"


@pytest.mark.parametrize("seeds", ["1.5", "[0.5]", "true", '"x"', "[1, 1]", "{}"])
def test_wrong_seeds_of_a_table_are_named(refused: Refused, tmp_path: Path, seeds: str) -> None:
    Path("own.toml").write_text(f'[[grid]]\ntask = "xor"\nseeds = {seeds}\n')
    assert "seeds" in refused("sweep", "--grid", "own.toml", "--dry-run")


def test_a_folder_of_other_defaults_is_refused_with_them_and_goes_on_where_they_are_given(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("sweep", "--task", "xor", "--epochs", "2", "--grid", "batch_size=4", "--seeds", "0:2", "--out", "out")
    with monkeypatch.context() as before:
        before.setattr(PARAMETERS["hidden"].field, "default", 5)
        before.setattr(PARAMETERS["update"].field, "default", "raw")
        before.setattr(METHODS["walk"].parameters.model_fields["update"], "default", "raw")
        assert harness(*command).code == 0
    refused = harness(*command)
    assert refused.code == 2
    assert "hidden is 5 there and 8 here, update is raw there and normalised here" in refused.err
    assert "go on with --grid hidden=5 --grid update=raw, or pick another --out" in refused.err
    explicit = (*command, "--grid", "hidden=5", "--grid", "update=raw")
    assert "2 trials into out, 2 of them done before" in harness(*explicit).err
    assert "1 trial more than out held before" in harness(*command, *explicit[-4:], "--seeds", "0:3").err
    assert harness(*command).code == 2


def test_a_folder_whose_trials_are_looked_at_once_an_epoch_goes_on_so(
    harness: Harness, refused: Callable[..., str], tmp_path: Path
) -> None:
    """So all folders did before there was a choice, and their commands do not say it."""
    arguments = ("sweep", "--task", "xor", "--grid", "batch_size=4", "--epochs", 3, "--steps-per-epoch", 2, "--quiet")
    assert harness(*arguments, "--seeds", "0:2", "--looks", "epochs", "--out", "out").code == 0
    assert harness(*arguments, "--seeds", "0:3", "--out", "out").code == 0
    curves = read_csv(tmp_path / "out" / "curves.csv", "curves")
    steps = curves[(curves["split"] == "heldout") & (curves["metric"] == "loss")].groupby("trial_id")["step"].agg(list)
    assert steps.tolist() == [[0, 2, 4, 6]] * 3
    line = refused(*arguments, "--seeds", "0:3", "--looks", "growing", "--out", "out")
    assert 'looks is absent there and "growing" here' in line
