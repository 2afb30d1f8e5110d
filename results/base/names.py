"""Which name was meant: as papers call it, or nearly spelt so."""

from collections.abc import Collection
from difflib import get_close_matches

ALSO_CALLED: dict[str, tuple[str, ...]] = {
    "stddev": ("sigma", "std", "sd", "noise_std"),
    "learning_rate": ("lr", "lrate", "eta", "alpha", "step_size"),
    "population": ("popsize", "pop_size", "population_size", "num_members"),
    "sigma0": ("std_init", "sigma_init", "init_stdev"),
    "crossover": ("crossover_rate",),
    "parents": ("elite_ratio",),
    "hidden": ("neurons", "units", "width"),
    "timesteps": ("t", "unroll"),
    "architecture": ("layers", "layer_sizes"),
    "sides": ("antithetic", "mirrored"),
    "noise": ("distribution", "dist"),
    "rank": ("lora_rank",),
    "share_data": ("common_data", "same_data"),
    "shaping": ("fitness_shaping",),
    "ranks": ("centered_ranks", "centred_ranks", "centered_rank"),
    "orthogonal": ("hadamard",),
    "yes": ("true",),
    "no": ("false",),
    "activation": ("nonlinearity",),
    "length": ("seqlen", "seq_len", "sequence_length"),
    "source": ("dataset",),
    "gaussian": ("normal",),
    "rademacher": ("sign", "signs", "bernoulli"),
    "sigmoid": ("logistic",),
    "two": ("2", "both", "antithetic", "mirrored"),
    "one": ("1",),
    "cuda": ("gpu", "nvidia"),
    "seeds": ("seed",),
}
"""What papers and other libraries call a parameter, a value, a backend or a setting, and a method once it is read.

By spelling alone each would be missed, or taken for another."""


def nearest(name: str, known: Collection[str]) -> str:
    """Suggest the known name that means what was written, or resembles it.

    Parameters
    ----------
    name : str
        What the user wrote.
    known : collection of str
        What could have been meant.

    Returns
    -------
    str
        A suffix for a message, `` (did you mean 'xor'?)``, or ``""`` when nothing is close.
    """
    found = meant(name, known) or _resembling(name, known)
    return f" (did you mean {found!r}?)" if found else ""


def meant(name: str, known: Collection[str]) -> str | None:
    """Return the known name of what somebody calls `name`, in other letters or by another word; None if none is."""
    wanted = _plainly(name)

    def others(candidate: str) -> tuple[str, ...]:
        return ALSO_CALLED.get(candidate) or ALSO_CALLED.get(_plainly(candidate), ())

    return next((one for one in known if wanted == _plainly(one) or wanted in others(one)), None)


def _resembling(name: str, known: Collection[str]) -> str | None:
    wanted, by_plain = _plainly(name), {_plainly(candidate): candidate for candidate in known}
    starting = [plain for plain in by_plain if wanted and plain.startswith(wanted)]
    # The beginning of one name alone, such as "opt", resembles too little by difflib's ratio.
    close = starting if len(starting) == 1 else get_close_matches(wanted, by_plain, n=1)
    return by_plain[close[0]] if close else None


def _plainly(name: str) -> str:
    """Return an option, a parameter or a value as the lower-case name that they share."""
    return name.lower().lstrip("-").replace("-", "_")
