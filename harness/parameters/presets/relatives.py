"""Methods of the field as settings of the walk: presets that any task takes, each with what it is and how it differs.

Symbols: W weights, P of them, in blocks of n rows and m columns; d perturbations of unit variance, K a step; L the mean
loss of the datapoints that a perturbation sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from freewalk.harness.methods.method import Scalar
from freewalk.harness.methods.walk import WALK


@dataclass(frozen=True)
class Relative:
    """A method of the field."""

    summary: str
    settings: Mapping[str, Scalar]
    """Parameters of the walk."""
    equation: str
    estimates: str
    """What a step estimates, and with what bias."""
    deviations: str
    """In what it differs from the paper."""
    reference: str

    @property
    def walk(self) -> Any:
        """Its `WalkConfiguration`, of one timestep."""
        return WALK.configure(self.settings, timesteps=1, steps=1)

    @property
    def constant(self) -> str:
        """The variance constant c in words; see `freewalk.kernels.model.variance`."""
        low_rank = self.settings.get("rank", "full") != "full"
        if self.settings["noise"] == "rademacher":
            return "P"  # of rank 1 and full alike
        return "P + 2 (n + m + 2)" if low_rank else "P + 2"

    @property
    def cost(self) -> str:
        """The evaluations of a step in words."""
        walk = self.walk
        k, each = walk.n_perturbations, walk.datapoints
        shares = walk.share_data and walk.sides == "one" and walk.tangent == "difference"
        passes = "K + 1" if shares else "2 K"
        return f"{walk.evaluations_per_step():,.0f} evaluations: {passes} passes of {each} datapoints, K = {k}"


Settings = Mapping[str, Scalar]

_SGD: Settings = {"update": "normalised", "optimizer": "sgd"}
_SPSA: Settings = {**_SGD, "learning_rate": 0.3, "sides": "two", "batch_size": 16, "datapoints": "all"}
_POPULATION: Settings = {"sides": "two", "batch_size": 512, "datapoints": 16, "share_data": "yes"}
_EGGROLL: Settings = {**_SGD, "learning_rate": 0.1, "stddev": 0.01, **_POPULATION, "rank": 1, "shaping": "std"}
_ALONG_TWO_SIDES = "W -= learning_rate * d (L(W + stddev d) - L(W - stddev d)) / (2 stddev)"
_OF_EGGROLL = (
    "W -= learning_rate / K * sum_k d_k (L(W + stddev d_k) - L(W - stddev d_k)) / (2 s), with s the standard deviation"
    " over k of half the difference, d_k = a_k b_k'"
)

RELATIVES: Mapping[str, Relative] = {
    "spsa": Relative(
        "SPSA: simultaneous perturbation stochastic approximation",
        {**_SPSA, "stddev": 0.01, "noise": "rademacher"},
        f"{_ALONG_TWO_SIDES}, d signs",
        "the gradient, with a bias of the order of stddev squared",
        "stddev and the learning rate stay as they are, where the paper lets both fall (schedule=cosine lets the rate);"
        " the loss is that of a batch",
        "J. C. Spall: Multivariate stochastic approximation using a simultaneous perturbation gradient approximation."
        " IEEE Transactions on Automatic Control 37(3), 1992",
    ),
    "mezo": Relative(
        "MeZO: memory-efficient zeroth-order descent",
        {**_SPSA, "stddev": 0.001, "noise": "gaussian"},
        f"{_ALONG_TWO_SIDES}, d normal",
        "the gradient of the loss smoothed by the perturbations, without bias",
        "nothing in a step; stddev and batch_size are the paper's, the learning rate is not: it is for networks of"
        " hundreds of weights, the paper's for billions",
        "S. Malladi, T. Gao, E. Nichani, A. Damian, J. D. Lee, D. Chen, S. Arora: Fine-tuning language models with just"
        " forward passes. NeurIPS 2023, arXiv:2305.17333",
    ),
    "fzoo": Relative(
        "FZOO: one-sided signs, steps in units of the losses' standard deviation",
        {
            **_SGD,
            "learning_rate": 0.03,
            "stddev": 0.001,
            "sides": "one",
            "noise": "rademacher",
            "batch_size": 128,
            "datapoints": 16,
            "share_data": "yes",
            "shaping": "std",
        },
        "W -= learning_rate / K * sum_k d_k (L(W + stddev d_k) - L(W)) / s, with s the standard deviation of"
        " L(W + stddev d_k) over k (K - 1 below), d_k signs",
        "the direction of the gradient: s is about stddev times its length, so a step is about learning_rate long along"
        " it, however steep the loss",
        "the learning rate is that of the authors' program, the paper's over stddev; the program has K below in s",
        "S. Dang, Y. Guo, Y. Zhao, H. Ye, X. Zheng, G. Dai, I. Tsang: FZOO: fast zeroth-order optimizer for fine-tuning"
        " large language models towards Adam-scale speed. arXiv:2506.09034, 2025",
    ),
    "forward-gradient": Relative(
        "Forward gradient: the slope along one random direction, by forward differentiation",
        {
            **_SGD,
            "learning_rate": 0.3,
            "tangent": "exact",
            "noise": "gaussian",
            "batch_size": 16,
            "datapoints": "all",
        },
        "W -= learning_rate * d (d . grad L(W)), d normal; the slope d . grad L passes forward beside the activations",
        "the gradient, without bias",
        "nothing in a step; batch_size and the learning rate are for networks of hundreds of weights",
        "A. G. Baydin, B. A. Pearlmutter, D. Syme, F. Wood, P. Torr: Gradients without backpropagation."
        " arXiv:2202.08587, 2022",
    ),
    "openai-es": Relative(
        "OpenAI-ES: an evolution strategy with centred ranks and Adam",
        {
            **_POPULATION,
            "update": "normalised",
            "optimizer": "adam",
            "learning_rate": 0.01,
            "stddev": 0.02,
            "noise": "gaussian",
            "shaping": "ranks",
        },
        "g = 1 / (2 K) * sum_k d_k (r(L(W + stddev d_k)) - r(L(W - stddev d_k))), with r the rank among the 2 K losses,"
        " from -1/2 to 1/2; W moves by Adam, d_k normal",
        "the gradient of the expected rank, not of the loss: large losses count no more than others",
        "no weight decay (the authors' program has 0.005); the loss of datapoints that all share takes the place of an"
        " episode's return",
        "T. Salimans, J. Ho, X. Chen, S. Sidor, I. Sutskever: Evolution strategies as a scalable alternative to"
        " reinforcement learning. arXiv:1703.03864, 2017",
    ),
    "eggroll": Relative(
        "EGGROLL: an evolution strategy with normal factors of rank 1",
        {**_EGGROLL, "noise": "gaussian"},
        f"{_OF_EGGROLL}, a_k and b_k normal",
        "the direction of the gradient, as fzoo",
        "the authors' program divides by the standard deviation of all 2 K losses, 1e-5 added to its square, and"
        " multiplies by stddev sqrt(2 K), which the learning rate takes in here; a bias is a row of the matrix here,"
        " there it has normal numbers of its own",
        "B. Sarkar, M. Fellows, J. A. Duque and others: Evolution strategies at the hyperscale. arXiv:2511.16652, 2025",
    ),
    "eggroll-signs": Relative(
        "EGGROLL with signs: the same from n + m bits a perturbation",
        {**_EGGROLL, "noise": "rademacher"},
        f"{_OF_EGGROLL}, a_k and b_k signs",
        "the direction of the gradient, as fzoo, with the mean square of full signs",
        "signs in place of normal numbers; otherwise as eggroll",
        "of freewalk, after B. Sarkar and others, arXiv:2511.16652, 2025",
    ),
}
"""By the name that --grid and --preset take."""
