"""Workers must have the data of the driver: one that has others is left out by name."""

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disturbed import assert_same_tables, states, wait_until

from freewalk.harness.base.errors import UsageError
from freewalk.harness.engine.work import Work
from freewalk.harness.plan import plugins
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Plan
from freewalk.tasks.characters import read_text
from freewalk.tasks.images import idx_digits
from freewalk.tasks.registry import TASKS
from freewalk.tasks.stored import Source

pytest.importorskip("distributed", reason="needs Dask: pip install 'freewalk[cluster]'")
from freewalk.harness.cluster import connection, remote
from freewalk.harness.cluster.waiting import Piece

psutil = pytest.importorskip("psutil")  # Dask stands on it

Harness = Callable[..., Any]

SMALL = (
    *("--seeds", "0:2", "--epochs", "2", "--steps-per-epoch", "5", "--evaluation-points", "32", "--target", "0.99"),
    *("--grid", "batch_size=16", "--grid", "hidden=3", "--grid", "update=normalised"),
)
TEXT = ("--task", "characters", "--grid", "source=~/text.txt", "--grid", "timesteps=3", *SMALL)

PLUGINS = {
    "arrays": """
import numpy as np
from pathlib import Path
from freewalk.tasks import from_arrays
x = np.load(Path("~/x.npy").expanduser())
OWN = from_arrays("own", x, (x[:, :1] > 0.5).astype(float), target=0.001)
""",
    "constants": """
import numba
import numpy as np
from pathlib import Path
from freewalk.tasks import Problem, Task, data_words
TABLE = np.load(Path("~/x.npy").expanduser()).astype(np.float32)
N = len(TABLE)

@numba.njit
def row(word):
    return word % N

def datapoint(seed, stream, step, index, timesteps, argument, x, y):
    word, _, _, _ = data_words(seed, stream, step, index, 0)
    x[0, 0] = TABLE[row(word), 0]
    y[0, 0] = x[0, 0] > 0.5

OWN = Task("own", "", "bit_accuracy", 0.9, lambda: Problem(n_input=1, n_output=1, datapoint=datapoint))
""",
    "argument": """
import numpy as np
from pathlib import Path
from freewalk.tasks import Problem, Task, data_words, uniform

def datapoint(seed, stream, step, index, timesteps, argument, x, y):
    word, _, _, _ = data_words(seed, stream, step, index, 0)
    x[0, 0] = uniform(word)
    y[0, 0] = x[0, 0] * 100 > argument

def problem():
    edge = int(100 * np.load(Path("~/x.npy").expanduser())[0, 0])
    return Problem(n_input=1, n_output=1, datapoint=datapoint, argument=edge)

OWN = Task("own", "", "bit_accuracy", 0.9, problem)
""",
}
SKLEARN = """
import numpy as np
def load_digits(return_X_y=True):
    draw = np.random.default_rng({seed})
    return draw.integers(0, 17, (200, 64)), np.arange(200) % 10
"""


@pytest.fixture(autouse=True)
def _read_anew() -> Iterator[None]:
    yield
    plugins.unload_all()
    for read in (read_text, idx_digits):
        getattr(read, "cache_clear", lambda: None)()


def write_idx(path: Path, values: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    head = bytes([0, 0, 8, values.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in values.shape)
    path.write_bytes(head + values.tobytes())


def fill(home: Path, seed: int) -> None:
    """Write one file of each kind below a home folder."""
    draw = np.random.default_rng(seed)
    (home / "text.txt").write_text("".join(draw.choice(list("abcd"), 400)))
    (home / "same.txt").write_text("abcd" * 100)
    np.save(home / "x.npy", draw.uniform(size=(50, 2)))
    (home / "mnist").mkdir()
    for part, n in (("train", 60), ("t10k", 10)):
        write_idx(home / "mnist" / f"{part}-images-idx3-ubyte", draw.integers(0, 256, (n, 4, 4)).astype(np.uint8))
        write_idx(home / "mnist" / f"{part}-labels-idx1-ubyte", (np.arange(n) % 10).astype(np.uint8))


ELSEWHERE = """
import builtins, io, os
real_open = io.open

def open_elsewhere(file, *arguments, **options):
    if isinstance(file, (str, os.PathLike)):
        file = os.fspath(file).replace({here!r}, {there!r})
    return real_open(file, *arguments, **options)

io.open = builtins.open = open_elsewhere
"""


def elsewhere(folder: Path, here: Path, there: Path) -> dict[str, str]:
    """Return the environment of a worker that finds under the paths of one folder what lies in another."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(ELSEWHERE.format(here=str(here), there=str(there)))
    return {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}


@pytest.fixture
def homes(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Return the driver's home folder, and the one that a worker elsewhere finds in its place."""
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    fill(here, 1)
    fill(there, 2)
    monkeypatch.setenv("HOME", str(here))
    return here, there


def reason(line: str) -> str:
    assert ": no worker can take part: tcp://127.0.0.1:" in line
    return line.split(": ", 3)[3]


def test_other_data_under_the_same_name(
    harness: Harness, tmp_path_factory: pytest.TempPathFactory, homes: tuple[Path, Path], remote_cluster: Any
) -> None:
    here, there = homes
    cluster = remote_cluster(n_workers=1, environment=elsewhere(there / "site", here, there))

    def refuse(*arguments: object) -> str:
        result = harness("sweep", *arguments, "--cluster", cluster.address, "--out", f"out-{len(said)}")
        assert result.code == 2, result.err
        assert "Traceback" not in result.err
        lines = [line for line in result.err.splitlines() if " is left out: " in line]
        assert len(lines) == 1, result.err
        assert set(states(Path(f"out-{len(said)}"))) == {"pending"}
        said.append(lines[0].split(" is left out: ")[1])
        return said[-1]

    said: list[str] = []
    remedy = "; put the same there and start the worker again"
    line = refuse(*TEXT)
    assert line.startswith(f"its data of task 'characters' are others: {here / 'text.txt'} has the SHA-256 ")
    assert ", the driver's " in line
    assert line.endswith(remedy)
    line = refuse(*TEXT[:3], "source=~/same.txt,~/text.txt", *TEXT[4:])
    assert f"others: {here / 'text.txt'} has the SHA-256" in line, "every source is compared"
    line = refuse("--task", "mnist", "--grid", "source=~/mnist", *SMALL)
    assert f"others: {here / 'mnist' / 'train-images-idx3-ubyte'} has the SHA-256 " in line
    for name, text in PLUGINS.items():
        path = tmp_path_factory.mktemp("plugin") / f"{name}.py"
        path.write_text(text.replace('"own"', f'"own-{name}"'))
        line = refuse("--task", f"own-{name}", "--plugin", path, *SMALL)
        assert line.startswith(f"its data of task 'own-{name}' are others")
        assert line.endswith(remedy)
        plugins.unload_all()
    (here / "more.txt").write_text("abcd" * 100)
    line = refuse(*TEXT[:3], "source=~/more.txt", *TEXT[4:])
    assert line.startswith("it has no data for task 'characters': ")
    assert f"{here / 'more.txt'} cannot be read (No such file" in line


def test_data_from_another_version_of_a_package(
    harness: Harness, tmp_path_factory: pytest.TempPathFactory, remote_cluster: Any
) -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'freewalk[data]'")
    other = tmp_path_factory.mktemp("other")
    (other / "sklearn").mkdir()
    (other / "sklearn" / "__init__.py").write_text("")
    (other / "sklearn" / "datasets.py").write_text(SKLEARN.format(seed=1))
    cluster = remote_cluster(n_workers=1, environment={"PYTHONPATH": f"{other}:{os.environ.get('PYTHONPATH', '')}"})
    result = harness("sweep", "--task", "digits", *SMALL, "--cluster", cluster.address, "--out", "out")
    assert result.code == 2
    assert "its data of task 'digits' are others: scikit-learn's digits has the SHA-256 " in result.err


def test_a_worker_with_the_same_data_does_the_work_of_one_with_others(
    harness: Harness, tmp_path: Path, homes: tuple[Path, Path], remote_cluster: Any
) -> None:
    many = (*TEXT, "--seeds", "0:40", "--epochs", "400")  # as much as the one cannot end before the other is asked
    here, there = homes
    cluster = remote_cluster(n_workers=1, environment=elsewhere(there / "site", here, there))
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "text.txt").write_bytes((here / "text.txt").read_bytes())
    cluster.add_worker(environment=elsewhere(copy / "site", here, copy))
    cluster.wait_for_workers(2)
    result = harness("sweep", *many, "--cluster", cluster.address, "--out", "out")
    assert result.code == 0, result.err
    assert len([line for line in result.err.splitlines() if " is left out: its data of task" in line]) == 1
    assert harness("sweep", *many, "--quiet", "--out", "threads").code == 0
    assert_same_tables(tmp_path / "out", tmp_path / "threads")


def test_data_that_change_while_a_sweep_runs(
    harness: Harness, tmp_path: Path, homes: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = homes
    longer = ("--seeds", "0:12", "--epochs", "2", "--steps-per-epoch", "2000", "--evaluation-points", "32")
    grid = ("--target", "0.99", *TEXT[TEXT.index("--grid") : 6], *SMALL[SMALL.index("--grid") :])
    text = ("sweep", "--task", "characters", *longer, *grid)
    before, patience = (here / "text.txt").read_bytes(), connection.WORKERS_SECONDS
    n_complete: list[int] = []

    def disturb() -> None:
        wait_until(lambda: (tmp_path / "out" / "sweep.sqlite").exists() and states(tmp_path / "out").get("complete"))
        monkeypatch.setattr(connection, "WORKERS_SECONDS", 5.0)
        (there / "text.txt").replace(here / "text.txt")
        for worker in psutil.Process().children():  # its successor reads the file
            if "freewalk.harness.cluster.process" in worker.cmdline():
                worker.kill()
        n_complete.append(states(tmp_path / "out")["complete"])

    thread = threading.Thread(target=disturb)
    thread.start()
    result = harness(*text, "--workers", 1, "--out", "out")
    thread.join()
    monkeypatch.setattr(connection, "WORKERS_SECONDS", patience)  # where much else runs, a worker starts slowly
    assert n_complete, result.err
    assert result.code == 2, result.err
    assert "Traceback" not in result.err
    assert states(tmp_path / "out")["complete"] < 12
    (here / "text.txt").write_bytes(before)
    assert harness(*text, "--quiet", "--workers", 1, "--out", "out").code == 0
    assert harness(*text, "--quiet", "--out", "threads").code == 0
    assert_same_tables(tmp_path / "out", tmp_path / "threads")


@pytest.mark.usefixtures("homes")
def test_a_slice_is_refused_when_its_data_have_changed_since(plan: Callable[..., Plan]) -> None:
    (trial,) = plan("source=~/text.txt", "timesteps=3", "hidden=3", tasks=["characters"], seeds=[0]).trials
    work, budget = Work((trial,), (None,), together=False), Budget(epochs=1, steps_per_epoch=1, evaluation_points=8)
    sources = TASKS["characters"].problem(trial.cell.parameters).sources

    def run(sources: tuple[Source, ...]) -> None:
        remote.run(pickle.dumps(((Piece(work, "cpu", sources),), budget, 1.0, "sweep", "flight")))

    run(sources)
    for other in ((replace(sources[0], sha256="0" * 64, unpacked=None),), (*sources, sources[0])):
        with pytest.raises(UsageError, match="its data of task 'characters' are others"):
            run(other)
    assert remote.pulse() == {}


DATA_OF_EVERY_TASK = """
import pickle, sys
from freewalk.harness.cluster.same_data import TaskData
from freewalk.harness.plan.single_trial import single_trial
from freewalk.tasks.registry import BUILT_IN
names = [name for name in BUILT_IN if name not in ("digits", "mnist")]
own = [(name, {}) for name in names] + [("long-parity", {"wiring": "a2"})]
found = [TaskData.of(single_trial("test", name, "guess", "0", options).cell) for name, options in own]
sys.stdout.buffer.write(pickle.dumps(found))
"""


def test_another_process_has_the_same_data_of_every_task() -> None:
    """What cannot be compared between processes, such as where a function lies, must not be."""
    one, other = (
        pickle.loads(subprocess.run([sys.executable, "-c", DATA_OF_EVERY_TASK], capture_output=True, check=True).stdout)
        for _ in range(2)
    )
    for here, there in zip(one, other, strict=True):
        here.refuse_others(there)
    wired = {data.task: data.sizes["wiring"] for data in one if "wiring" in data.sizes}
    assert wired.keys() >= {"latch-1", "linear-perceptron", "long-parity", "reservoir"}
    changed = replace(one[-1], sizes={**one[-1].sizes, "wiring": wired["latch-2"]})
    with pytest.raises(UsageError, match=r"its data of task 'long-parity' are others \(wiring\)"):
        changed.refuse_others(one[-1])
