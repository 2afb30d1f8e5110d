"""Notebooks in a real kernel: the tutorial runs, progress is drawn in place, and an interrupt loses nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import freewalk

nbformat = pytest.importorskip("nbformat", reason="the extra test brings nbclient")
nbclient = pytest.importorskip("nbclient", reason="the extra test brings nbclient")
pytest.importorskip("ipykernel", reason="the extra test brings ipykernel")

TUTORIAL = Path(__file__).parents[3] / "docs" / "notebook.ipynb"
SECONDS = 240.0
# what kernels and their clients say of each other, which changes from release to release
pytestmark = pytest.mark.filterwarnings("default")


def environment(folder: Path) -> dict[str, str]:
    own = {name: str(folder / name.lower()) for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR")}
    return {**os.environ, **own, "PYTHONPATH": str(Path(freewalk.__file__).parents[1])}


class Cell(NamedTuple):
    """What running a cell has sent."""

    updates: list[str]
    """What stood in the output, one text after the other."""
    html: list[str]
    kinds: list[str]
    """Of the messages that showed it."""
    results: list[dict[str, str]]
    streams: str
    error: str


class Kernel:
    def __init__(self, folder: Path) -> None:
        from jupyter_client.manager import KernelManager

        self.manager = KernelManager()
        self.manager.start_kernel(env=environment(folder), cwd=str(folder))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=SECONDS)

    def run(self, code: str, seen: Callable[[str], bool] = lambda text: False) -> Cell:
        """Run a cell; interrupt it when an update has been seen."""
        cell = Cell([], [], [], [], "", "")
        asked, interrupted, deadline = self.client.execute(code), False, time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            message = self.client.get_iopub_msg(timeout=SECONDS)
            kind, content = message["msg_type"], message["content"]
            if kind in ("display_data", "update_display_data"):
                cell.updates.append(content["data"]["text/plain"])
                cell.html.append(content["data"]["text/html"])
                cell.kinds.append(f"{kind} {content['transient']['display_id']}")
                if not interrupted and seen(cell.updates[-1]):
                    interrupted = True
                    self.manager.interrupt_kernel()
            elif kind == "execute_result":
                cell.results.append(content["data"])
            elif kind == "stream":
                cell = cell._replace(streams=cell.streams + content["text"])
            elif kind == "error":
                cell = cell._replace(error=content["ename"])
            elif content.get("execution_state") == "idle" and message["parent_header"].get("msg_id") == asked:
                return cell
        raise AssertionError("the cell has not ended")


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    found = Kernel(tmp_path_factory.mktemp("kernel"))
    found.run("import freewalk")
    yield found
    found.client.stop_channels()
    found.manager.shutdown_kernel(now=True)


def test_the_tutorial_runs_as_it_stands(tmp_path: Path) -> None:
    notebook = nbformat.read(TUTORIAL, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells), "save it without outputs"
    client = nbclient.NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=environment(tmp_path))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type in ("error", "stream")]
    pages = [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    answers = [page for page in pages if 'class="freewalk"' in page]
    assert len(answers) == 4
    result = freewalk.read_sweep(tmp_path / "runs" / "species")
    assert result._findings.tasks[0].answer.sentences[1] in answers[1]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert (tmp_path / "runs" / "species" / "report.html").exists()


def test_progress_is_drawn_in_place_and_ends_in_one_line(kernel: Kernel) -> None:
    code = (
        "freewalk.sweep({'stddev': [0.01, 0.1], 'batch_size': 64}, task='xor', seeds='0:4', epochs=20,"
        " steps_per_epoch=200, target=1e-4)"
    )
    start = time.monotonic()
    cell = kernel.run(code)
    took = time.monotonic() - start
    first, *others = cell.kinds
    assert first.startswith("display_data ")
    assert {*others} == {first.replace("display_data", "update_display_data")}, "one output, written again"
    assert "preparing the kernels" in cell.updates[0]
    assert "/8 trials, " in cell.updates[-2]
    assert cell.updates[-1].startswith("8 trials: ")
    assert "\n" not in cell.updates[-1]
    assert "border-radius" in cell.html[-2]
    assert "border-radius" not in cell.html[-1], "no bar is left"
    assert len(cell.kinds) <= 4 + took / 0.3
    assert (cell.streams, cell.error) == ("", "")
    assert 'class="freewalk"' in cell.results[0]["text/html"]
    assert cell.results[0]["text/plain"].startswith("<SweepResult 8 trials")


def test_nothing_is_drawn_where_that_is_not_wanted(kernel: Kernel) -> None:
    cell = kernel.run("r = freewalk.sweep({'hidden': 2}, task='xor', seeds='0:2', epochs=1, progress=False)")
    assert (cell.kinds, cell.streams, cell.error) == ([], "", "")


def test_failures_stay_in_sight(kernel: Kernel) -> None:
    kernel.run(
        "from freewalk.methods import OwnMethod\ndef refuse(start): raise ValueError('<no>')\n"
        "bad = OwnMethod('bad', '', refuse, lambda *given: 1.0)"
    )
    cell = kernel.run("r = freewalk.sweep({'hidden': 2}, task='xor', method=bad, seeds='0:2', epochs=1)")
    assert cell.updates[-1].splitlines()[0].startswith("2 trials: 0 reached, 2 failed, ")
    assert cell.updates[-1].count("ValueError: <no>") == 2
    assert "&lt;no&gt;" in cell.html[-1]


def test_an_interrupted_cell_goes_on_where_it_was(kernel: Kernel) -> None:
    call = (
        "r = freewalk.sweep({'stddev': [0.01, 0.1], 'batch_size': 256}, task='xor', seeds='0:6', epochs=400,"
        " steps_per_epoch=1000, target=1e-9, out='kept')"
    )
    cell = kernel.run(call, lambda text: "step " in text)
    assert cell.error == "KeyboardInterrupt"
    assert cell.updates[-1].startswith("interrupted after ")
    assert cell.updates[-1].endswith("of 12 trials in kept: 0 reached; the same call goes on from here")
    states = kernel.run("print(freewalk.read_sweep('kept').trials['state'].value_counts().to_dict())").streams
    assert "interrupted" in states
    assert "running" not in states
    again = kernel.run(call, lambda text: "step " in text)
    assert again.error == "KeyboardInterrupt", "the folder is free for the same call"
    lost = kernel.run(call.replace(", out='kept'", ""), lambda text: "step " in text)
    assert lost.updates[-1].endswith("; nothing is kept without out=")


def test_a_tuning_is_drawn_in_place(kernel: Kernel) -> None:
    cell = kernel.run(
        "freewalk.tune(task='and', method='walk', evaluations=20_000, n_settings=4, race_seeds='90:93', seeds='0:2')"
    )
    assert len({kind.split()[1] for kind in cell.kinds}) == 1
    assert cell.updates[-1].startswith("1 race: ")
    assert "\n" not in cell.updates[-1]
    assert "settings" in cell.results[0]["text/html"]


def test_a_task_of_a_cell_goes_on_after_the_kernel_has_restarted(kernel: Kernel, tmp_path: Path) -> None:
    code = (
        "import numpy as np\nfrom freewalk.tasks import Problem, Task, data_words\n"
        "SCALE = 2.0\n"
        "def datapoint(seed, stream, step, index, timesteps, argument, x, y):\n"
        "    bit = np.float32(data_words(seed, stream, step, index, 0)[0] & np.uint32(1))\n"
        "    x[0, 0], y[0, 0] = bit * np.float32(SCALE), bit\n"
        "bit = Task('bit', '', 'bit_accuracy', 0.99, lambda: Problem(1, 1, datapoint))\n"
    )
    call = f"freewalk.sweep({{'hidden': 2}}, task=bit, seeds='0:2', epochs=2, out={str(tmp_path / 'bit')!r})"
    kernel.run(code)
    assert kernel.run(call).updates[-1].startswith("2 trials in ")
    other = Kernel(tmp_path)
    try:
        other.run("import freewalk")
        other.run("# another cell before it\n" + code)
        assert other.run(call).updates[-1].endswith("all of them done before")
        other.run(code.replace("2.0", "3.0"))
        assert other.run(call).error == "StoreError"
    finally:
        other.client.stop_channels()
        other.manager.shutdown_kernel(now=True)
