"""A task of your own: tell whether the first of two numbers is the larger.

harness sweep --plugin examples/own_task.py --task larger --grid "stddev=0.05,0.2" --grid update=normalised
"""

from freewalk.tasks import Problem, Task, data_words, uniform


def datapoint(seed, stream, step, index, timesteps, argument, x, y):
    """Write two numbers of [0, 1), and y = 1 if the first is the larger."""
    first, second, _, _ = data_words(seed, stream, step, index, 0)
    x[0, 0] = uniform(first)
    x[0, 1] = uniform(second)
    y[0, 0] = x[0, 0] > x[0, 1]


LARGER = Task(
    name="larger",
    summary="1 if the first of two numbers is the larger",
    metric="bit_accuracy",
    target=0.95,
    make_problem=lambda: Problem(n_input=2, n_output=1, datapoint=datapoint),
    baseline=0.5,
    baseline_text="either answer always",
)
