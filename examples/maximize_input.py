"""Find the input of a trained network that makes its output largest.

    python examples/maximize_input.py [FILE]

Two binary inputs, three hidden neurons with biases, one output: 1 for (0, 1), 0 for the other three. The weights go to
FILE, if one is named.
"""

import itertools
import sys

import numpy as np

from freewalk import NNRndTraining, maximize

x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
target = np.array([[0], [1], [0], [0]])

config = {
    "num_input": 2,
    "num_hidden": 3,
    "num_output": 1,
    "timesteps": 2,
    "architecture": "2-3-1",
    "batch_size": 32,
    "test_stddev": 0.05,
    "update": "normalised",
    "optimizer": "momentum",
    "epoch_steps": 3000,
    "epochs": 1,
}

if __name__ == "__main__":
    training = NNRndTraining(config)
    training.train(itertools.repeat((np.tile(x, (8, 1)), np.tile(target, (8, 1)))))
    print("outputs:", training.run(x).round(3).ravel())

    inside = maximize(training, bounds=(0, 1), binary=True)
    print("inside [0, 1]:", inside.x, "gives", round(inside.value, 3), "- bounds bind:", inside.binds)
    print("best of all", inside.corner.tried, "corners:", inside.corner.x)

    outside = maximize(training, bounds="none")
    print("without bounds:", outside.x.round(2), "gives", round(outside.value, 3))
    if len(sys.argv) > 1:
        training.save(sys.argv[1])
