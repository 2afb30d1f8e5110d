"""The columns of the tables of `harness tune`: what each method costs once tuned, and how its settings were found.

They are registered beside the tables of `schema`, so that they are built, written, read and documented the same way.
"""

from typing import Final

from freewalk.results.schema.schema import PARAMETERS_AFTER, TABLES, Column, TableName

TUNED: Final[TableName] = "tuned"
ROUNDS: Final[TableName] = "rounds"


def _interval(name: str, unit: str = "") -> tuple[Column, Column]:
    return (
        Column(f"{name}_low", "float64", "lower end of its 95 % interval", unit),
        Column(f"{name}_high", "float64", "upper end of its 95 % interval", unit),
    )


def _on_fresh_seeds(name: str, settings: str, missing: str) -> tuple[Column, ...]:
    return (
        Column(f"{name}_n", "Int64", f"complete trials of {settings} on fresh seeds{missing}", "trials"),
        Column(f"{name}_reached", "Int64", "those of them that met the target", "trials"),
        Column(f"{name}_cost", "float64", "expected running time to the target, failures counted in", "evaluations"),
        *_interval(f"{name}_cost", "evaluations"),
    )


def _times(name: str, text: str) -> tuple[Column, ...]:
    return (
        Column(name, "float64", f"{text}; missing where neither met the target, inf where one did not"),
        *_interval(name),
        Column(
            f"{name}_where_both",
            "float64",
            "the same of single trials, where both met the target: the median ratio, of pairs with equal seeds",
        ),
        *_interval(f"{name}_where_both"),
    )


_WHERE: Final = (
    Column("schema_version", "Int64", "version of the table's layout"),
    Column("task", "string", "what is to be learned"),
    Column("method", "string", "how it is learned"),
)

TUNED_COLUMNS: Final[tuple[Column, ...]] = (
    *_WHERE,
    Column("rank", "Int64", "place in the task by tuned_cost; equal costs share a place, never reached is last"),
    Column("n_settings", "Int64", "settings that the race began with", "settings"),
    Column("n_rounds", "Int64", "rounds of the race", "rounds"),
    Column("n_race_trials", "Int64", "trials that the race started", "trials"),
    Column("tuning_evaluations", "float64", "what the race spent in all", "evaluations"),
    Column(
        "stopped_by",
        "string",
        "why the race ended: all seeds (the winner had run on all, and no other looked cheaper), budget (it was "
        "spent), or no other (there was one setting)",
    ),
    Column("edges", "string", "searched parameters whose best value lies at an end of its range; missing for none"),
    Column("share_within_two", "float64", "share of the settings known to cost at most twice what the winner cost"),
    *_on_fresh_seeds("tuned", "the winner", ""),
    Column(
        "tuned_resolution",
        "float64",
        "by so many evaluations at most is tuned_cost too high, since trials are looked at now and then",
        "evaluations",
    ),
    *_on_fresh_seeds("untuned", "the method's defaults", "; missing where these cannot run"),
    *_times("gain", "untuned_cost over tuned_cost: what tuning saves"),
    Column("total_evaluations", "float64", "tuning_evaluations and tuned_cost: tuning counted", "evaluations"),
    *_times("behind", "tuned_cost over that of the task's first method; missing for the first"),
    Column(
        "p_adjusted",
        "float64",
        "two-sided p-value of the rank test beside the task's first, times the number of pairs of methods, at most 1",
    ),
    Column("verdict", "string", "beside the task's first: worse, trade-off, alike or unclear, as in ranking"),
    *_times("ratio", "tuned_cost over that of backprop; missing where that was not tuned"),
    *_times("untuned_ratio", "untuned_cost over that of backprop"),
)

ROUND_COLUMNS: Final[tuple[Column, ...]] = (
    *_WHERE,
    Column("round", "Int64", "number of the round, from 1"),
    Column("n_settings", "Int64", "settings before it", "settings"),
    Column("n_seeds", "Int64", "seeds that each of them was run on", "seeds"),
    Column("cap_evaluations", "float64", "the most that a trial might spend so far", "evaluations"),
    Column("spent_evaluations", "float64", "spent since the race began", "evaluations"),
    Column("leader", "string", "searched settings of the one in front"),
    Column(
        "leader_cost",
        "float64",
        "its expected running time; a lower bound where trials of it still wait at a cap",
        "evaluations",
    ),
    Column("leader_reached", "Int64", "its trials that met the target", "trials"),
    Column("leader_open", "Int64", "its trials that wait at a cap", "trials"),
    Column("n_worse", "Int64", "settings that left since a test told them from the one in front", "settings"),
    Column("n_halved", "Int64", "settings that left since they were in the worse half", "settings"),
    Column(
        "n_back",
        "Int64",
        "settings that came back: the one in front turned out to cost more than they did on fewer seeds",
        "settings",
    ),
)

TABLES.update({TUNED: TUNED_COLUMNS, ROUNDS: ROUND_COLUMNS})
PARAMETERS_AFTER.update({TUNED: TUNED_COLUMNS[-1].name})
