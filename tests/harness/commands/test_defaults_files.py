"""Defaults files: which are read, what goes before what, what is wrong in them, and what they must not sway."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from commanded import Harness

from freewalk.harness.base.defaults_files import NO_DEFAULTS

Refused = Callable[..., str]
SHORT = ("--steps-per-epoch", "5", "--grid", "batch_size=8", "--grid", "hidden=2", "--quiet")


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the folder of the test be the home of somebody who has defaults files."""
    monkeypatch.delenv(NO_DEFAULTS)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def planned(harness: Harness, *arguments: str) -> int:
    """Return how many trials a sweep would have."""
    result = harness("sweep", *arguments, "--dry-run", "--json")
    assert result.code == 0, result.err
    return int(json.loads(result.out)["n_trials"])


def test_what_goes_before_what(harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert planned(harness, "--task", "xor") == 3
    write(tmp_path / "config" / "freewalk" / "defaults.toml", '[sweep]\nseeds = "0:4"\ntask = ["xor", "and"]\n')
    assert planned(harness) == 8
    project = write(tmp_path / "freewalk.toml", '[all]\nseeds = "0:6"\n')
    assert planned(harness) == 12, "the project goes before the user"
    project.write_text('[all]\nseeds = "0:6"\n[sweep]\nseeds = "0:5"\n')
    assert planned(harness) == 10, "a command's table goes before that for all"
    monkeypatch.setenv("HARNESS_SEEDS", "0:7")
    assert planned(harness) == 14, "the environment goes before files"
    assert planned(harness, "--seeds", "0:2") == 4, "the command line goes before all"
    monkeypatch.setenv(NO_DEFAULTS, "1")
    assert planned(harness, "--task", "xor") == 7


def test_where_the_projects_file_is_looked_for(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "freewalk.toml", '[sweep]\nseeds = "0:9"\n')
    inner = tmp_path / "project" / "deep"
    inner.mkdir(parents=True)
    assert planned(harness, "--task", "xor") == 9  # changes into the folder
    monkeypatch.chdir(inner)
    from freewalk.harness.base.defaults_files import defaults_files

    assert [path.parent for path in defaults_files()] == [tmp_path], "up to the home"
    (tmp_path / "project" / ".git").mkdir()
    assert defaults_files() == [], "but not out of the repository"
    write(tmp_path / "project" / "freewalk.toml", "")
    assert [path.parent for path in defaults_files()] == [tmp_path / "project"]
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    (tmp_path / "project" / ".git").rmdir()
    assert defaults_files() == [], "elsewhere, anybody may have left one above"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[sweep]\nepoch = 3\n", "[sweep] epoch: no option of harness sweep (did you mean 'epochs'?)"),
        ("[all]\nthread = 3\n", "[all] thread: no option of any command (did you mean"),
        ("[swep]\nepochs = 3\n", "no command [swep] (did you mean 'sweep'?)"),
        ("epochs = 3\n", "epochs stands outside a table; write it below [all] or [sweep], say"),
        ("[sweep]\nepochs = 0\n", "[sweep] epochs = 0: must be a whole number of at least 1"),
        ("[sweep]\nepochs = true\n", "[sweep] epochs = True: must be text or a number"),
        ("[sweep]\nquiet = 1\n", "[sweep] quiet = 1: must be true or false"),
        ("[sweep]\nseeds = 20\n", "[sweep] seeds = 20: 20 seeds are 0:20"),
        ("[sweep]\nbackend = 'gpu'\n", "[sweep] backend = 'gpu': must be one of auto"),
        ("[all]\nthreads = 'two'\n", "[all] threads = 'two': 'two' is not a valid integer"),
        ("[sweep]\nepochs = [1, 2]\n", "[sweep] epochs = [1, 2]: must be text or a number"),
        ("[sweep\n", "line 1"),
    ],
)
def test_mistakes_name_the_file_and_the_key(refused: Refused, tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path / "freewalk.toml", text)
    line = refused("sweep", "--task", "xor")
    assert line.startswith(str(path))
    assert words in line


def test_what_decides_results_is_recorded_as_if_typed(harness: Harness, tmp_path: Path) -> None:
    file = write(tmp_path / "freewalk.toml", '[all]\nthreads = 1\n[sweep]\nepochs = 2\nstddev = "0.1,0.2"\nout = "o"\n')
    assert harness("sweep", "--task", "xor", *SHORT).code == 0
    document = tomllib.loads((tmp_path / "o" / "sweep.toml").read_text())
    assert document["epochs"] == 2
    assert document["grid"][0]["stddev"] == [0.1, 0.2]
    again = harness("sweep", "--task", "xor", *SHORT)
    assert again.code == 0, again.err
    file.write_text("[sweep]\nepochs = 3\nstddev = 0.7\nseeds = '0:1'\ntask = 'and'\nmethod = 'backprop'\n")
    exact = harness("sweep", "--grid", "o/sweep.toml", "--out", "o", "--json")
    assert exact.code == 0, exact.err
    assert tomllib.loads((tmp_path / "o" / "sweep.toml").read_text()) == document, "a whole sweep says all itself"


def test_rivals_among_settings(harness: Harness, tmp_path: Path) -> None:
    write(tmp_path / "freewalk.toml", "[all]\nsteps-per-epoch = 7\n")
    options = ("--task", "xor", "--evaluations", "1000", "--quiet", "--json")
    assert harness("train", *options, "--save", "w").code == 0


def test_weights_and_presets_say_it_themselves(harness: Harness, tmp_path: Path) -> None:
    assert harness("train", "--task", "xor", "--hidden", "3", "--epochs", "1", "--quiet", "--save", "w.npz").code == 0
    write(tmp_path / "freewalk.toml", "[train]\ntask = 'parity'\nhidden = 5\nepochs = 1\nsides = 'one'\n")
    again = harness("train", "--weights", "w.npz", "--quiet", "--save", "v.npz")
    assert again.code == 0, again.err
    assert harness("train", "--preset", "mezo", "--task", "xor", "--quiet", "--save", "u.npz").code == 0


def test_a_plugin_lies_beside_the_file_that_names_it(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "plug" / "own.py", "from freewalk.tasks import Task\nTASK = 1\n")
    write(tmp_path / "freewalk.toml", '[tasks]\nplugin = ["plug/own.py"]\n')
    line = harness("tasks").err
    assert f"--plugin {tmp_path / 'plug' / 'own.py'}: brings no task" in line


def test_info_names_the_files_and_checks_them(harness: Harness, refused: Refused, tmp_path: Path) -> None:
    project = write(tmp_path / "freewalk.toml", "[all]\nthreads = 2\n[tune]\nsettings = 8\n")
    own = write(tmp_path / "config" / "freewalk" / "defaults.toml", "[sweep]\nepochs = 7\n")
    assert f"defaults   {project}: [all] threads = 2; [tune] settings = 8\n" in harness("info").out
    found = json.loads(harness("info", "--json").out)["defaults"]
    assert found == [
        {"file": str(project), "sets": {"all": {"threads": 2}, "tune": {"settings": 8}}},
        {"file": str(own), "sets": {"sweep": {"epochs": 7}}},
    ]
    project.write_text("[tune]\nsetting = 8\n")
    assert "[tune] setting: no option of harness tune (did you mean 'settings'?)" in refused("info")


def test_commands_of_a_reproduction_are_not_swayed(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        tmp_path / "own.toml",
        """
title = "A trial"
source = "nobody"
known = "derived"
claim = "Something is lost."
check = [{ claim = "loss", table = "command", value = "steps", above = 0 }]
[quick]
seeds = "0:1"
[[quick.command]]
run = ["train", "--task", "xor", "--hidden", "2", "--epochs", "2", "--save", "{folder}/w.npz"]
""",
    )
    write(tmp_path / "freewalk.toml", "[train]\nsteps-per-epoch = 3\n")
    monkeypatch.setenv("HARNESS_STEPS_PER_EPOCH", "4")
    result = harness("reproduce", "own.toml", "--out", "o", "--json", "--threads", "1")
    assert result.code == 0, result.err
    (answer,) = tmp_path.glob("o/*/commands-*/answer-*.json")
    assert json.loads(answer.read_text())["steps"] == 200
