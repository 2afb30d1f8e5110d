"""The walk on a model of your own: a logistic regression written by hand, whatever Numba compiles.

python examples/any_model.py
"""

import math

import numpy as np

from freewalk import RandomWalk


def loss(weights, x, y):
    """Return the cross-entropy of one datapoint: weights (3,), x (2,), y 0 or 1."""
    z = weights[0] * x[0] + weights[1] * x[1] + weights[2]
    return math.log(1 + math.exp(-z)) if y > 0.5 else math.log(1 + math.exp(z))


def main() -> float:
    """Train, and return the share of datapoints on the right side."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 2))
    y = (x[:, 0] + 2 * x[:, 1] > 0.5).astype(float)
    walk = RandomWalk(loss, 3, stddev=0.1, update="normalised", optimizer="adam", learning_rate=0.05)
    walk.train(x, y, steps=500, batch_size=100)
    return float(((x @ walk.weights[:2] + walk.weights[2] > 0) == (y > 0.5)).mean())


if __name__ == "__main__":
    print(f"{100 * main():.1f} % of the datapoints lie on the right side")
