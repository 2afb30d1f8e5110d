"""Options that commands share: one value each, hints from parameters to options, threads, weights, old spellings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commanded import TINY, Harness

import freewalk
from freewalk.harness.base.errors import one_line
from freewalk.harness.methods.registered import BUILT_IN
from freewalk.harness.parameters.parameters import AXIS_KEYS, PARAMETERS
from freewalk.harness.plan.settings import BACKENDS, Settings
from freewalk.kernels.machine.threads import limited_threads, usable_threads
from freewalk.results.base.names import ALSO_CALLED, meant

Refused = Callable[..., str]
REPEATED = [
    ("train", "--seed"),
    ("train", "--task"),
    ("train", "--hidden"),
    ("evaluate", "--seed"),
    ("maximize", "--output"),
    ("maximize", "--restarts"),
    ("gradcheck", "--samples"),
    ("ladder", "--method"),
    ("report", "--theme"),
    ("show", "--table"),
    ("merge", "--out"),
    ("export", "--format"),
    ("compare", "--check"),
    ("bench", "--backend"),
]


@pytest.mark.parametrize(("command", "option"), REPEATED)
def test_an_option_with_one_value_is_given_once(refused: Refused, command: str, option: str) -> None:
    assert f"{option} is given 2 times; give it once" in refused(command, option, "1", f"{option}=2")


def test_the_last_setting_of_a_sweep_holds(harness: Harness) -> None:
    result = harness("sweep", *TINY, "--seeds", "0:5", "--dry-run")
    assert result.code == 0, result.err
    assert "20 trials" in result.out


def test_flags_and_options_of_several_values_may_come_again(harness: Harness) -> None:
    result = harness(
        *("sweep", "--task", "xor", "--task", "and", "--grid", "hidden=1", "--grid", "batch_size=4", "--dry-run"),
        *("--quiet", "--quiet"),
    )
    assert result.code == 0, result.err


def test_other_commands_say_it_too(refused: Refused) -> None:
    assert 'write --where "stddev == 0.1"' in refused("show", "runs", "--stddev", "0.1")
    assert "no gradient depends on it" in refused("gradcheck", "--task", "xor", "--learning-rate", "1")
    assert "did you mean '--seeds'" in refused("sweep", "--sedes", "3")
    assert "did you mean '--help'" in refused("sweep", "--hlep")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("sweep", "--task", "xor", "--backend", "gpu"), "--backend gpu (did you mean 'cuda'?)"),
        (("sweep", "--task", "xor", "--grid", "sd=1"), "unknown parameter 'sd' (did you mean 'stddev'?)"),
        (("sweep", "--task", "xor", "--grid", "step_size=1"), "(did you mean 'learning_rate'?)"),
        (("sweep", "--task", "xor", "--grid", "antithetic=1"), "(did you mean 'sides'?)"),
        (("sweep", "--task", "xor", "--grid", "sides=antithetic"), "(did you mean 'two'?)"),
        (("sweep", "--task", "xor", "--grid", "opt=adam"), "(did you mean 'optimizer'?)"),
        (("sweep", "--task", "xor", "--grid", "fitness_shaping=ranks"), "(did you mean 'shaping'?)"),
        (("sweep", "--task", "xor", "--grid", "share_data=True"), "(did you mean 'yes'?)"),
        (("sweep", "--task", "xor", "--method", "spsa"), "spsa is the walk with certain settings; give --grid spsa"),
        (("sweep", "--task", "xor", "--grid", "seed=1"), "seed is no axis; give it as --seeds"),
        (("sweep", "--task", "xor", "--sigma", "1"), "no option --sigma (did you mean '--stddev'?)"),
        (("sweep", "--task", "xor", "--stdev", "1"), "no option --stdev (did you mean '--stddev'?)"),
        (
            ("sweep", "--task", "xor", "--seed", "3"),
            "write --seeds 3:4 for the seed 3, or --seeds 0:3",
        ),
        (("tune", "--task", "xor", "--seed=0"), "no option --seed; write --seeds 0:1 for the seed 0;"),
        (("train", "--task", "xor", "--seeds", "0:3"), "write --seed 0, or harness sweep --seeds 0:3 for several"),
        (("ladder", "--seeds", "4,5"), "ladder runs one; write --seed 4, or harness sweep --seeds 4,5"),
        (("train", "--task", "xor", "--grid", "batch_size=4"), "no option --grid; write --batch-size 4"),
        (("gradcheck", "--grid", "stddev=0.1,1"), "gradcheck runs one trial; write harness sweep --grid stddev=0.1,1"),
        (("train", "--grid", "mezo"), "no option --grid; write --preset mezo"),
        (("train", "--grid", "quickstart"), "train runs one trial; write harness sweep --grid quickstart"),
        (("sweep", "--preset", "quickstart"), "no option --preset; write --grid quickstart"),
        (("sweep", "--task", "xor", "--method", "bptt"), "unknown method 'bptt' (did you mean 'backprop'?)"),
        (("sweep", "--task", "xor", "--method", "fa"), "unknown method 'fa' (did you mean 'feedback-alignment'?)"),
        (("train", "--task", "xor", "--lr", "1"), "no option --lr (did you mean '--learning-rate'?)"),
        (("train", "--task", "xor", "--noise", "sign"), "(did you mean 'rademacher'?)"),
        (("show", "runs", "--sigma", "1"), 'write --where "stddev == 1"'),
        (("gradcheck", "--task", "xor", "--lr", "1"), "no option --lr: no gradient depends on it"),
    ],
)
def test_the_words_of_papers_and_other_libraries_are_known(
    refused: Refused, arguments: tuple[str, ...], hint: str
) -> None:
    assert hint in refused(*arguments)


@pytest.mark.parametrize("name", ["rule", "lag", "backend_", "zzz"])
def test_no_hint_is_better_than_a_far_one(refused: Refused, name: str) -> None:
    assert "did you mean" not in refused("sweep", "--task", "xor", "--grid", f"{name}=1")


def test_each_word_of_others_stands_for_a_name_that_there_is() -> None:
    choices = [set(parameter.choices) for parameter in PARAMETERS.values()]
    kinds = [{*AXIS_KEYS, *Settings.model_fields}, *choices, {*BUILT_IN}, {*BACKENDS}]
    for name, others in ALSO_CALLED.items():
        assert any(name in kind for kind in kinds)
        assert not any(kind & set(others) for kind in kinds if name in kind)
        assert all(meant(other, [name]) == name for other in others)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_limited_for_one_command(harness: Harness, threads: int) -> None:
    before = usable_threads()
    result = harness("sweep", "--task", "xor", "--threads", threads, "--dry-run")
    assert f"on {min(threads, before)} thread" in result.out
    assert usable_threads() == before
    with limited_threads(threads):
        assert usable_threads() == min(threads, before)
        with limited_threads(None):
            assert usable_threads() == min(threads, before)


def test_threads_change_no_bit_and_do_not_go_with_workers(refused: Refused) -> None:
    options = {"task": "xor", "seeds": [0], "epochs": 2, "steps_per_epoch": 3}
    one, all_ = (freewalk.sweep({"hidden": 2}, threads=n, **options).trials for n in (1, None))
    assert one["loss_final"].tolist() == all_["loss_final"].tolist()
    assert "has no effect with --workers" in refused("sweep", "--task", "xor", "--threads", 1, "--workers", 2)
    assert "threads" in refused("train", "--task", "xor", "--threads", 0)
    with pytest.raises(freewalk.UsageError, match="threads must be at least 1, got 0"):
        freewalk.sweep(threads=0, **options)


@pytest.mark.parametrize("package", ["mlxtend", "numpy", "click"])
def test_a_folder_called_as_a_package_is_in_nobodys_way(tmp_path: Path, package: str) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    source = str(Path(freewalk.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "freewalk", "tasks", "xor", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["task"] == "xor"


@pytest.mark.parametrize("text", ["logspace(1e-3,1e-1,3)", "logspace(0.1,0.001,3)", "logspace(0.01,0.5,2)"])
def test_values_in_place_of_exponents_are_refused_with_the_remedy(refused: Refused, text: str) -> None:
    line = refused("sweep", "--task", "xor", "--grid", f"stddev={text}", "--dry-run")
    first, last, n = text.removeprefix("logspace(").removesuffix(")").split(",")
    assert f"write geomspace({float(first):g},{float(last):g},{n})" in line


@pytest.mark.parametrize(
    "text", ["logspace(-2,0,3)", "logspace(0,0.5,3)", "logspace(0.5,0.9,3)", "logspace(-0.5,0.5,3)"]
)
def test_exponents_stay_exponents(harness: Harness, text: str) -> None:
    assert harness("sweep", "--task", "xor", "--grid", f"stddev={text}", "--dry-run").code == 0


def test_an_error_in_a_step_names_the_line_of_the_user(tmp_path: Path, harness: Harness) -> None:
    (tmp_path / "own.py").write_text(
        "from freewalk.methods import ArrayTrainer, OwnMethod\n\n\nclass Broken(ArrayTrainer):\n"
        "    def take_step(self):\n        return float(self.values[len(self.values), 0])\n\n\n"
        "METHOD = OwnMethod('broken', 'fails', Broken, lambda parameters, batch_size, n_weights: 1)\n"
    )
    options = ("--seeds", "0", "--epochs", "1", "--out", "runs", "--quiet")
    assert harness("sweep", "--plugin", "own.py", "--task", "xor", "--method", "broken", *options).code == 1
    shown = harness("show", "runs", "--table", "trials", "--columns", "error", "--csv").out
    assert "IndexError: index " in shown
    assert "(own.py, line 6)" in shown


def test_a_long_message_keeps_its_line() -> None:
    try:
        raise ValueError("x" * 1000)
    except ValueError as error:
        text = one_line(error)
    assert len(text) == 400
    assert text.endswith(")")
    assert "… (test_command_lines.py, line " in text
    assert one_line(ValueError("two\nlines")) == "ValueError: two lines"
