"""Estimators of gradients as people write them: right ones, and the same with one mistake each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Estimator = Callable[[Any, Any, int], Any]
STDDEV = 0.01


@dataclass(frozen=True)
class Planted:
    """An estimator with a fault, what it is told to be, and how the fault is named."""

    estimator: Estimator
    kind: str
    words: str
    options: dict[str, Any] = field(default_factory=dict)


def normal(rng: Any, shape: tuple[int, ...]) -> Any:
    return rng.standard_normal(shape)


def signs(rng: Any, shape: tuple[int, ...]) -> Any:
    return rng.choice([-1.0, 1.0], size=shape)


def low_rank(r: int, draw: Any = normal, root: float = 0.5) -> Any:
    """A B^T with entries of variance 1; `root` is what r is raised to in its divisor."""
    return lambda rng, shape: draw(rng, (shape[0], r)) @ draw(rng, (r, shape[1])) / r**root


def draws(noise: Any, k: int, shape: tuple[int, ...], seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return [noise(rng, shape) for _ in range(k)]


def one_sided(
    noise: Any = normal, k: int = 4, *, factor: float = 1.0, baseline: Any = None, update: Any = lambda z: z
) -> Estimator:
    """mean (L(W + stddev z) - L(W)) / stddev z, with room for mistakes."""

    def estimator(loss: Any, w: Any, seed: int) -> Any:
        zs = draws(noise, k, w.shape, seed)
        losses = np.array([loss(w + STDDEV * z) for z in zs])
        differences = losses - (loss(w) if baseline is None else baseline(loss, w, losses))
        return factor * sum(d * update(z) for d, z in zip(differences, zs, strict=True)) / (k * STDDEV)

    return estimator


def two_sided(
    noise: Any = normal, k: int = 4, *, factor: float = 1.0, sign: float = -1.0, answer: Any = lambda d: d
) -> Estimator:
    """mean (L(W + stddev z) - L(W - stddev z)) / (2 stddev) z, with room for mistakes."""

    def estimator(loss: Any, w: Any, seed: int) -> Any:
        zs = draws(noise, k, w.shape, seed)
        differences = [answer((loss(w + STDDEV * z) + sign * loss(w - STDDEV * z)) / (2 * STDDEV)) for z in zs]
        return factor * sum(d * z for d, z in zip(differences, zs, strict=True)) / k

    return estimator


def in_place(restore: float = 1.0, k: int = 1, dtype: Any = None) -> Estimator:
    """MeZO: the weights themselves are perturbed, and the noise is drawn again from its seed each time."""

    def estimator(loss: Any, w: Any, seed: int) -> Any:
        def perturb(by: float, n: int) -> None:
            w[...] += (by * STDDEV * np.random.default_rng([seed, n]).standard_normal(w.shape)).astype(w.dtype)

        total = np.zeros_like(w)
        for n in range(k):
            perturb(1, n)
            plus = loss(w)
            perturb(-2, n)
            minus = loss(w)
            perturb(restore, n)
            z = np.random.default_rng([seed, n]).standard_normal(w.shape)
            total += ((plus - minus) / (2 * STDDEV) * z / k).astype(w.dtype)
        return total

    return estimator


def shaped(shape: Any, mirrored: bool = False, k: int = 8) -> Estimator:
    """A population whose losses are shaped before they weigh the noise, as evolution strategies have it."""

    def estimator(loss: Any, w: Any, seed: int) -> Any:
        zs = draws(normal, k, w.shape, seed)
        zs = [*zs, *(-z for z in zs)] if mirrored else zs
        losses = shape(np.array([loss(w + STDDEV * z) for z in zs]))
        return sum(value * z for value, z in zip(losses, zs, strict=True)) / (len(zs) * STDDEV)

    return estimator


def standardised(losses: Any) -> Any:
    return (losses - losses.mean()) / (losses.std() + 1e-8)


def ranks(losses: Any) -> Any:
    return losses.argsort().argsort() / (len(losses) - 1) - 0.5


def leave_one_out(loss: Any, w: Any, losses: Any) -> Any:
    return (losses.sum() - losses) / (len(losses) - 1)


def orthogonal(k: int) -> Estimator:
    """Rows of a random orthogonal matrix, of the length that normal ones have."""

    def estimator(loss: Any, w: Any, seed: int) -> Any:
        q = np.linalg.qr(np.random.default_rng(seed).standard_normal((w.size, w.size)))[0]
        zs = np.sqrt(w.size) * q[:k].reshape(k, *w.shape)
        return sum((loss(w + STDDEV * z) - loss(w - STDDEV * z)) / (2 * STDDEV) * z for z in zs) / k

    return estimator


def hadamard(loss: Any, w: Any, seed: int) -> Any:
    """Rows of a Hadamard matrix with random signs of the columns, cut to the weights."""
    h = np.array([[1.0]])
    while len(h) < w.size:
        h = np.block([[h, h], [h, -h]])
    rng = np.random.default_rng(seed)
    rows = h[rng.permutation(len(h))[:8], : w.size] * signs(rng, (w.size,))
    zs = rows.reshape(8, *w.shape)
    return sum((loss(w + STDDEV * z) - loss(w)) / STDDEV * z for z in zs) / 8


def sphere(loss: Any, w: Any, seed: int) -> Any:
    """Directions of length 1, so that the number of weights comes in."""
    z = np.random.default_rng(seed).standard_normal(w.shape)
    u = z / np.linalg.norm(z)
    return w.size * (loss(w + STDDEV * u) - loss(w - STDDEV * u)) / (2 * STDDEV) * u


def spsa(loss: Any, w: Any, seed: int) -> Any:
    delta = signs(np.random.default_rng(seed), w.shape)
    return (loss(w + STDDEV * delta) - loss(w - STDDEV * delta)) / (2 * STDDEV * delta)


def coordinates(central: bool) -> Estimator:
    def estimator(loss: Any, w: Any, seed: int) -> Any:
        found, at = np.zeros(w.size), loss(w)
        for i, e in enumerate(np.eye(w.size)):
            d = STDDEV * e.reshape(w.shape)
            found[i] = (loss(w + d) - loss(w - d)) / (2 * STDDEV) if central else (loss(w + d) - at) / STDDEV
        return found.reshape(w.shape)

    return estimator


def stacked(loss: Any, w: Any, seed: int) -> Any:
    """All perturbations at once: a stack of weights goes in, as many losses come out."""
    z = np.random.default_rng(seed).standard_normal((16, *w.shape))
    difference = (loss(w + STDDEV * z) - loss(w - STDDEV * z)) / (2 * STDDEV)
    return np.tensordot(difference, z, 1) / 16


def of_arrays(estimate: Callable[[Any, Any, int], Any], names: Any = None) -> Estimator:
    """An estimator of several arrays: it sees them as one row."""

    def estimator(loss: Any, weights: Any, seed: int) -> Any:
        keys = list(weights) if isinstance(weights, dict) else range(len(weights))
        parts = [weights[key] for key in keys]
        ends = np.cumsum([part.size for part in parts])[:-1]

        def arranged(flat: Any) -> Any:
            arrays = [a.reshape(p.shape) for a, p in zip(np.split(flat, ends), parts, strict=True)]
            return dict(zip(keys, arrays, strict=True)) if isinstance(weights, dict) else arrays

        flat = np.concatenate([part.ravel() for part in parts])
        return arranged(estimate(lambda at: loss(arranged(at)), flat, seed))

    return estimator


def same_factors(rng: Any, shape: tuple[int, ...]) -> Any:
    seed = int(rng.integers(2**31))
    a, b = (np.random.default_rng(seed).standard_normal((n, 1)) for n in shape)
    return a @ b.T


def without_last_column(rng: Any, shape: tuple[int, ...]) -> Any:
    return rng.standard_normal(shape) * (np.arange(shape[-1]) < shape[-1] - 1)


def same_for_all(loss: Any, w: Any, seed: int) -> Any:
    """The same key for every member of the population."""
    zs = [np.random.default_rng(seed).standard_normal(w.shape) for _ in range(4)]
    return sum((loss(w + STDDEV * z) - loss(w)) / STDDEV * z for z in zs) / 4


def global_numbers() -> Estimator:
    rng = np.random.default_rng(1)
    return lambda loss, w, seed: one_sided()(loss, w, int(rng.integers(2**31)))


def other_noise(loss: Any, w: Any, seed: int) -> Any:
    """The noise of the update is drawn with another seed than that of the losses."""
    z, other = (np.random.default_rng([seed, n]).standard_normal(w.shape) for n in (0, 1))
    return (loss(w + STDDEV * z) - loss(w - STDDEV * z)) / (2 * STDDEV) * other


def not_mirrored(loss: Any, w: Any, seed: int) -> Any:
    z, other = (np.random.default_rng([seed, n]).standard_normal(w.shape) for n in (0, 1))
    return (loss(w + STDDEV * z) - loss(w - STDDEV * other)) / (2 * STDDEV) * z


def divided_by_noise(loss: Any, w: Any, seed: int) -> Any:
    """SPSA with noise whose inverse has no variance."""
    z = np.random.default_rng(seed).standard_normal(w.shape)
    return (loss(w + STDDEV * z) - loss(w - STDDEV * z)) / (2 * STDDEV * z)


def off_by_one(loss: Any, w: Any, seed: int) -> Any:
    zs = draws(normal, 4, w.shape, seed)
    differences = [(loss(w + STDDEV * z) - loss(w)) / STDDEV for z in zs]
    return sum(d * z for d, z in zip(differences[1:] + differences[:1], zs, strict=True)) / 4


def drifting(loss: Any, w: Any, seed: int) -> Any:
    """A copy is perturbed again and again."""
    at, base, total = w.copy(), loss(w), np.zeros_like(w)
    for z in draws(normal, 4, w.shape, seed):
        at += STDDEV * z
        total += (loss(at) - base) / STDDEV * z / 4
    return total


def first_loss_as_baseline() -> Estimator:
    kept: list[float] = []

    def baseline(loss: Any, w: Any, losses: Any) -> float:
        kept.append(float(loss(w)))
        return kept[0]

    return one_sided(baseline=baseline)


def loss_before_as_baseline() -> Estimator:
    before: list[Any] = []

    def baseline(loss: Any, w: Any, losses: Any) -> float:
        before.append(w.copy())
        return float(loss(before[-2] if len(before) > 1 else w))

    return one_sided(baseline=baseline)


def coarse(dtype: Any, stddev: float) -> Estimator:
    def estimator(loss: Any, w: Any, seed: int) -> Any:
        z = np.random.default_rng(seed).standard_normal(w.shape)
        plus, minus = (dtype(loss(w + by * stddev * z)) for by in (1, -1))
        return float(plus - minus) / (2 * stddev) * z

    return estimator


def with_bias_forgotten(loss: Any, weights: Any, seed: int) -> Any:
    z = np.random.default_rng(seed).standard_normal(weights["w"].shape)
    plus, minus = (loss({**weights, "w": weights["w"] + by * STDDEV * z}) for by in (1, -1))
    return {"w": (plus - minus) / (2 * STDDEV) * z, "b": np.zeros_like(weights["b"])}


def with_bias_halved(loss: Any, weights: Any, seed: int) -> Any:
    found = of_arrays(two_sided(signs))(loss, weights, seed)
    return {**found, "b": found["b"] / 2}


def looking_ahead(k: int) -> Estimator:
    """The loss after the step is evaluated too, to be shown."""

    def estimator(loss: Any, w: Any, seed: int) -> Any:
        found = two_sided(k=k)(loss, w, seed)
        loss(w - 0.1 * found)
        return found

    return estimator


def layer_by_layer(loss: Any, weights: Any, seed: int) -> Any:
    """Each array is perturbed by itself."""
    return {
        name: two_sided(k=2)(lambda at, name=name: loss({**weights, name: at}), part, seed + 10**6 * n)
        for n, (name, part) in enumerate(weights.items())
    }


def two_stddevs(loss: Any, weights: Any, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    zs = {name: rng.standard_normal(part.shape) for name, part in weights.items()}
    by = {"w": 0.01, "b": 0.05}
    plus, minus = (loss({n: part + sign * by[n] * zs[n] for n, part in weights.items()}) for sign in (1, -1))
    return {name: (plus - minus) / (2 * by[name]) * z for name, z in zs.items()}


W_AND_B = {"w": np.linspace(-1, 1, 12).reshape(3, 4), "b": np.linspace(0, 1, 4)}
SQUARE = np.linspace(-1, 1, 25).reshape(5, 5)


def f(estimator: Estimator, kind: str, words: str, **options: Any) -> Planted:
    return Planted(estimator, kind, words, options)


PLANTED = {
    "missing 1 / stddev": f(one_sided(factor=STDDEV), "factor", "which is stddev: divide by stddev", stddev=STDDEV),
    "missing 1 / stddev, untold": f(one_sided(signs, factor=STDDEV), "factor", "divide by stddev once more"),
    "one 1 / stddev too many": f(two_sided(factor=1 / STDDEV), "factor", "once too often", stddev=STDDEV),
    "missing 1 / stddev squared": f(two_sided(factor=STDDEV**2), "factor", "stddev squared", stddev=STDDEV),
    "wrong sign": f(two_sided(factor=-1), "sign", "the sign is flipped"),
    "wrong sign and a sum": f(two_sided(factor=-4), "sign", "number of perturbations"),
    "wrong sign of ranks": f(shaped(lambda x: -ranks(x)), "sign", "the worst gets the largest", shaping="ranks"),
    "missing baseline": f(one_sided(baseline=lambda *_: 0.0), "baseline", "subtract the loss at the weights"),
    "without the 1/2": f(two_sided(factor=2, k=3), "factor", "divide a pair's difference by 2 stddev", stddev=STDDEV),
    "the 1/2 twice": f(two_sided(factor=0.5, k=3), "factor", "halved once"),
    "one-sided with a 1/2": f(one_sided(factor=0.5, k=3), "factor", "leave the 1/2 out", stddev=STDDEV),
    "a sum": f(two_sided(factor=8, k=8), "factor", "take their mean instead of their sum: divide by 8"),
    "a sum, one-sided": f(one_sided(signs, factor=8, k=8), "factor", "divide by 8"),
    "divided by sqrt(K)": f(one_sided(k=7, factor=7**0.5), "factor", "not by its root", stddev=STDDEV),
    "divided by K - 1": f(one_sided(signs, k=5, factor=5 / 4), "factor", "divide by K = 5, not by K - 1"),
    "rank root missing in both": f(
        one_sided(low_rank(4, root=0)), "factor", "sqrt(rank), in the perturbation and in the update", stddev=STDDEV
    ),
    "rank root missing in both, signs": f(one_sided(low_rank(3, signs, 0)), "factor", "sqrt(rank)", stddev=STDDEV),
    "rank root missing in both, untold": f(one_sided(low_rank(3, signs, 0)), "factor", "which is the rank"),
    "rank root missing in the update": f(
        one_sided(low_rank(3, signs), update=lambda z: 3**0.5 * z), "factor", "sqrt(rank)"
    ),
    "rank root missing in the perturbation": f(
        one_sided(low_rank(3, signs, 0), update=lambda z: z / 3**0.5), "factor", "sqrt(rank)", stddev=STDDEV
    ),
    "1 / rank for its root": f(one_sided(low_rank(3, signs, 1)), "factor", "by sqrt(rank), not by rank", stddev=STDDEV),
    "ranks, not declared": f(shaped(ranks), "shaping", "shaping='ranks'"),
    "standard deviations, not declared": f(shaped(standardised), "shaping", "shaping='std'"),
    "signs of differences": f(two_sided(answer=np.sign), "shaping", "ranks or signs"),
    "ranks declared, none there": f(one_sided(), "no shaping", "nothing is shaped", shaping="ranks"),
    "clipped differences": f(two_sided(answer=lambda d: np.clip(d, -1, 1)), "clipping", "clipped"),
    "differences clipped far out": f(two_sided(answer=lambda d: np.clip(d, -9, 9)), "clipping", "clipped"),
    "the same key for all": f(same_for_all, "same perturbation", "all 4 perturbations of a call are the same"),
    "seed ignored": f(lambda loss, w, seed: one_sided()(loss, w, 0), "seed", "the seed is ignored"),
    "global numbers": f(global_numbers(), "seed", "the seed alone"),
    "A and B of the same numbers": f(two_sided(same_factors), "same factors", "draw B from a key of its own"),
    "one number per row": f(
        two_sided(lambda rng, s: np.repeat(normal(rng, (s[0], 1)), s[1], 1)), "one number per row", "for each row"
    ),
    "one number per column": f(
        one_sided(lambda rng, s: np.repeat(normal(rng, (1, s[1])), s[0], 0)), "one number per column", "each column"
    ),
    "uniform from 0 to 1": f(one_sided(lambda rng, s: rng.random(s)), "mean", "should be 0", stddev=STDDEV),
    "uniform from -1 to 1": f(
        two_sided(lambda rng, s: rng.uniform(-1, 1, s)), "variance", "a third of its variance", stddev=STDDEV
    ),
    "uniform from -1 to 1, untold": f(two_sided(lambda rng, s: rng.uniform(-1, 1, s)), "variance", "sqrt(3)"),
    "noise of variance 2": f(
        one_sided(lambda rng, s: 2**0.5 * normal(rng, s)), "variance", "0.0141", stddev=STDDEV, calls=800
    ),
    "correlated noise": f(
        one_sided(lambda rng, s: normal(rng, s) + normal(rng, (1, 1))), "correlated", "a number of its own"
    ),
    "uneven noise": f(one_sided(lambda rng, s: normal(rng, s) * [1, 1, 1, 1, 2]), "uneven", "unevenly"),
    "another noise in the update": f(other_noise, "other perturbations", "than those that were tried"),
    "pairs of different noise": f(not_mirrored, "not mirrored", "mirrored pairs", sides="two"),
    "losses off by one": f(off_by_one, "wrong order", "before its own"),
    "never restored": f(in_place(restore=0.0), "not restored", "take the last perturbation off"),
    "restored the wrong way": f(in_place(restore=-1.0, k=2), "not restored", "left changed"),
    "a copy never restored": f(drifting, "drift", "not restored between perturbations"),
    "a pair added": f(two_sided(sign=1.0), "pair added", "the second is to be subtracted"),
    "a bias forgotten": f(with_bias_forgotten, "not perturbed", "b not at all", weights=W_AND_B),
    "a bias halved": f(with_bias_halved, "factor", "b: the estimate is 0.5 times", weights=W_AND_B),
    "a column forgotten": f(one_sided(without_last_column), "not perturbed", "6 of 30 weights"),
    "transposed": f(one_sided(update=lambda z: z.T), "transposed", "transpose", weights=SQUARE),
    "transposed and reshaped": f(one_sided(update=lambda z: z.T.reshape(z.shape)), "transposed", "transpose"),
    "along signs": f(one_sided(update=np.sign), "signs", "along the signs"),
    "divided by normal noise": f(divided_by_noise, "inverses", "divides by the perturbations"),
    "mean of the losses": f(
        one_sided(k=4, baseline=lambda loss, w, losses: losses.mean()),
        "mean baseline",
        "mean of the others",
        calls=600,
    ),
    "mean of the losses, signs": f(
        one_sided(signs, k=4, baseline=lambda loss, w, losses: losses.mean()), "mean baseline", "(K - 1) / K = 0.75"
    ),
    "baseline of the first call": f(first_loss_as_baseline(), "stale baseline", "not the loss at these weights"),
    "baseline of the call before": f(loss_before_as_baseline(), "stale baseline", "of other weights"),
    "not a number": f(lambda loss, w, seed: w * np.nan, "not finite", "30 of 30 numbers"),
    "wrong shape": f(lambda loss, w, seed: one_sided()(loss, w, seed).ravel(), "shape", "must have shape (6, 5)"),
    "nothing": f(lambda loss, w, seed: [loss(w)].clear(), "shape", "must have shape"),
    "zero": f(lambda loss, w, seed: 0 * w * loss(w), "zero", "zero everywhere"),
    "float32 losses": f(coarse(np.float32, 1e-7), "rounding", "float64"),
    "float16 losses": f(coarse(np.float16, 1e-3), "rounding", "float64"),
    "float32 weights": f(coarse(np.float64, 1e-8), "rounding", "tells W + D from W", weights=SQUARE.astype(np.float32)),
    "weight decay": f(lambda loss, w, seed: one_sided()(loss, w, seed) + 0.1 * w, "penalty", "0.1 times the weights"),
    "sizes of differences": f(two_sided(answer=np.abs), "sign", "the same for the loss and its negative"),
    "a factor of nothing": f(one_sided(signs, factor=0.37), "factor", "0.37 times what it should be; no count"),
    "a subtle factor": f(one_sided(factor=1.03, k=16), "factor", "times what it should be", calls=1000),
    "a subtle factor, told": f(one_sided(factor=1.03, k=8), "factor", "1.03", stddev=STDDEV),
}


def quadratic(w: Any) -> float:
    return float(0.5 * (w**2).sum() + w.sum())


def own_forward_gradient(loss: Any, w: Any, seed: int) -> Any:
    """Exact slopes along random directions of the loss that it knows; it takes no other."""
    z = np.random.default_rng(seed).standard_normal(w.shape)
    return float(((w + 1) * z).sum()) * z


OWN = {"loss": quadratic, "gradient": lambda w: w + 1, "weights": SQUARE}

RIGHT: dict[str, tuple[Estimator, dict[str, Any]]] = {
    "normal, one-sided": (one_sided(), {}),
    "normal, two-sided": (two_sided(), {"stddev": STDDEV, "perturbations": 4, "sides": "two"}),
    "signs, one-sided": (one_sided(signs), {"stddev": STDDEV}),
    "signs, two-sided": (two_sided(signs), {}),
    "one perturbation": (one_sided(k=1), {}),
    "one pair": (two_sided(k=1), {}),
    "64 perturbations": (one_sided(k=64), {}),
    "32 pairs of signs": (two_sided(signs, k=32), {}),
    **{f"rank {r}, normal": (two_sided(low_rank(r)), {"rank": r}) for r in (1, 2, 4)},
    **{f"rank {r}, signs": (one_sided(low_rank(r, signs)), {"stddev": STDDEV}) for r in (1, 2, 4)},
    "rank 1, one perturbation": (one_sided(low_rank(1), k=1), {}),
    "rank 1, 64 perturbations": (one_sided(low_rank(1), k=64), {}),
    "orthogonal": (orthogonal(8), {}),
    "orthogonal, all": (orthogonal(30), {}),
    "Hadamard": (hadamard, {}),
    "sphere": (sphere, {}),
    "SPSA": (spsa, {}),
    "in place": (in_place(), {}),
    "in place, four times": (in_place(k=4), {"stddev": STDDEV}),
    "in place, float32": (in_place(k=2), {"weights": SQUARE.astype(np.float32)}),
    "mirrored population": (shaped(lambda x: x, mirrored=True), {}),
    "mirrored population less its mean": (shaped(lambda x: x - x.mean(), mirrored=True), {}),
    "compared with the others": (one_sided(baseline=leave_one_out), {}),
    "compared with the others, rank 1": (one_sided(low_rank(1), baseline=leave_one_out), {}),
    "compared with the others, signs": (one_sided(signs, k=2, baseline=leave_one_out), {}),
    "differences along coordinates": (coordinates(central=False), {"stddev": STDDEV}),
    "central differences": (coordinates(central=True), {}),
    "a stack": (stacked, {}),
    "a mapping": (of_arrays(one_sided()), {"weights": W_AND_B}),
    "a sequence": (of_arrays(two_sided(signs)), {"weights": list(W_AND_B.values())}),
    "a tuple": (of_arrays(two_sided()), {"weights": tuple(W_AND_B.values())}),
    "one row": (one_sided(), {"weights": np.ones(7)}),
    "one weight": (two_sided(), {"weights": np.ones(1)}),
    "standardised, declared": (shaped(standardised), {"shaping": "std"}),
    "ranks, declared": (shaped(ranks, mirrored=True), {"shaping": "ranks"}),
    "signs of differences, declared": (two_sided(answer=np.sign), {"shaping": "ranks"}),
    "own quadratic loss": (two_sided(), OWN),
    "own quadratic loss, one-sided": (one_sided(), OWN),
    "forward gradient of an own loss": (own_forward_gradient, OWN),
    "uniform of variance 1": (one_sided(lambda rng, s: rng.uniform(-(3**0.5), 3**0.5, s)), {}),
    "float32 losses": (coarse(np.float32, 1e-3), {}),
    "a look at the step": (looking_ahead(4), {}),
    "a look at the step of one pair": (looking_ahead(1), {"stddev": STDDEV}),
    "a random half": (one_sided(lambda rng, s: signs(rng, s) * 2**0.5 * (rng.random(s) < 0.5)), {}),
    "an array at a time": (layer_by_layer, {"weights": W_AND_B}),
    "a stddev for each array": (two_stddevs, {"weights": W_AND_B}),
    "few signs": (one_sided(low_rank(1, signs), k=32), {"weights": SQUARE[:4, :2]}),
    "zero weights, in place": (in_place(), {"weights": np.zeros((4, 3))}),
    "a large stddev": (lambda loss, w, seed: 0.01 * two_sided()(lambda at: loss(w + 100 * (at - w)), w, seed), {}),
}
