"""Races on made-up tables of costs: who wins, what it costs, and what is asked for."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from freewalk.harness.trial.history import Observation
from freewalk.harness.tuning.race import FIRST_SEEDS, Race, Request, Round, Rules
from freewalk.results.statistics.cell import expected_running_time

Floats = NDArray[np.float64]
INF = math.inf
MOST = 10_000.0


@dataclass
class Table:
    """What trials would come to, (cells, seeds), and what has been asked for."""

    cost: Floats
    """To the target; +inf for a trial that never meets it."""
    spent: Floats
    """At its end, of one that never does."""
    loss: Floats
    batches: list[list[Request]] = field(default_factory=list)
    caps: dict[tuple[int, int], float] = field(default_factory=dict)

    @classmethod
    def of(cls, cost: Any, spent: Any = MOST, loss: Any = 1.0) -> "Table":
        costs = np.array(cost, dtype=np.float64)
        ends, losses = (np.broadcast_to(np.asarray(one, dtype=np.float64), costs.shape) for one in (spent, loss))
        return cls(costs, ends, losses)

    @property
    def shape(self) -> tuple[int, int]:
        n_cells, n_seeds = self.cost.shape
        return n_cells, n_seeds

    @property
    def ends(self) -> Floats:
        return np.minimum(self.cost, self.spent)

    @property
    def grid(self) -> float:
        """What all trials cost to their ends."""
        return float(self.ends.sum())

    def truth(self, cell: int, n: int) -> float:
        """Return the expected running time on the first seeds."""
        return expected_running_time(self.ends[cell, :n], np.isfinite(self.cost[cell, :n]))

    def observe(self, asked: Request) -> Observation:
        """Tell of a trial what is known of it; of what has not run so far nothing is."""
        key = asked.cell, asked.seed
        assert asked.cap <= self.caps[key], "nothing was asked for"
        cost, end = float(self.cost[key]), float(self.ends[key])
        if cost <= asked.cap and cost < INF:
            return Observation(cost, True, True, cost, 0.0)
        if end <= asked.cap:
            return Observation(end, False, True, end, float(self.loss[key]))
        return Observation(asked.cap, False, False, asked.cap, float(self.loss[key]))

    def run_on(self, batch: list[Request]) -> None:
        """Note what is asked for: something, each trial once, and never less than before, or of one that has ended."""
        assert batch
        keys = [(one.cell, one.seed) for one in batch]
        assert len({*keys}) == len(keys)
        for key, one in zip(keys, batch, strict=True):
            before = self.caps.get(key, -1.0)
            assert before < one.cap
            assert before < self.ends[key], "it has ended"
            assert 0 <= one.cap < MOST or one.cap == INF
            self.caps[key] = one.cap
        self.batches.append(batch)

    @property
    def spent_so_far(self) -> float:
        return float(sum(min(cap, self.ends[key]) for key, cap in self.caps.items()))

    def start(self, budget: float = INF) -> Race:
        n_cells, n_seeds = self.shape
        return Race(n_cells, self.observe, Rules(n_seeds, MOST, budget))

    def race(self, budget: float = INF) -> Race:
        race = self.start(budget)
        for batch in race.run():
            self.run_on(batch)
        assert race.spent == pytest.approx(self.spent_so_far)
        return race

    def shuffled(self, seed: int) -> "Table":
        """Return the same with its seeds in another order."""
        order = np.random.default_rng(seed).permutation(self.shape[1])
        return Table(self.cost[:, order], self.spent[:, order], self.loss[:, order])


def lognormal(medians: Any, n_seeds: int, spread: float, *, failing: Any = 0.0, seed: int = 0) -> Table:
    """Make costs that scatter around medians by cell; a share of each cell's trials fails."""
    rng, scale = np.random.default_rng(seed), np.asarray(medians, dtype=np.float64)[:, None]
    cost = scale * np.exp(spread * rng.standard_normal((scale.size, n_seeds)))
    fails = rng.random(cost.shape) < np.broadcast_to(np.asarray(failing), (scale.size,))[:, None]
    return Table.of(np.where(fails | (cost > MOST), INF, cost), loss=rng.random(cost.shape))


CLEAR = {
    "one cheap": lognormal([300.0, *np.geomspace(900, 9000, 15)], 30, 0.3),
    "one that does not fail": lognormal([400.0] * 8, 30, 0.2, failing=[0.0, *[0.6] * 7]),
    "dear, but sure": lognormal([600.0, *[150.0] * 9], 30, 0.3, failing=[0.0, *[0.9] * 9]),
    "one that ever learns": lognormal([5000.0, *[1e9] * 9], 30, 0.3),
}


@pytest.mark.parametrize("table", CLEAR.values(), ids=CLEAR)
def test_the_best_of_clear_cases_wins_in_any_order_of_the_seeds(table: Table) -> None:
    truths = [table.truth(cell, 30) for cell in range(table.shape[0])]
    assert sorted(truths)[1] > 1.9 * truths[0]
    for seed in range(50):
        shuffled = table.shuffled(seed)
        race = shuffled.race(0.6 * table.grid)
        assert (race.winner, race.why) == (0, "all seeds"), seed
        last = race.rounds[-1]
        assert last.standing.bound == pytest.approx(truths[0]), "it has run to its ends"
        assert (last.n_seeds, last.standing.n_open, last.leader) == (30, 0, 0)


def random_tables() -> Iterator[tuple[int, Table, float]]:
    """Yield tables of all kinds with budgets of all sizes."""
    rng = np.random.default_rng(1)
    for number in range(120):
        n_cells, n_seeds = (int(rng.choice(sizes)) for sizes in ((2, 3, 5, 17, 40), (1, 2, 3, 7, 30)))
        shape, kind = (n_cells, n_seeds), number % 6
        cost = MOST * 10 ** rng.uniform(-5, 0, (n_cells, 1)) * np.exp(rng.standard_normal(shape))  # heavy tails
        if kind == 1:
            cost = rng.choice([0.0, 10.0, 100.0, 1000.0], shape)  # ties, and targets that are met at once
        elif kind == 2:
            cost[rng.random(shape) < rng.random((n_cells, 1))] = INF
        elif kind == 3:
            cost[:] = INF
        elif kind == 4:
            cost = MOST * rng.pareto(0.5, shape) / 1000
        cost = np.where(cost > MOST, INF, cost)
        early = np.isinf(cost) & (rng.random(shape) < 0.5)  # some diverge, or fail at once
        spent = np.where(early, MOST * rng.integers(0, 5, shape) / 100, MOST)
        loss = np.where(early, INF, rng.random(shape))
        table = Table.of(cost, spent, loss)
        yield number, table, float(rng.choice([1e-3, 0.01, 0.1, 0.5, 2.0])) * n_cells * n_seeds * MOST


def test_no_race_costs_more_than_its_budget() -> None:
    whys = set()
    for number, table, budget in random_tables():
        race, beginning = table.start(budget), INF
        for batch in race.run():
            table.run_on(batch)
            beginning = race.spent if len(table.batches) == 1 else beginning
            assert race.spent <= max(budget, beginning) * (1 + 1e-12), number
        whys.add(race.why)
        assert 0 <= race.winner < table.shape[0]
        assert race.winner == race.rounds[-1].leader
        assert race.n_begun == len(table.caps)
        spent = [one.spent for one in race.rounds]
        assert spent == sorted(spent)
        assert spent[-1] == race.spent
    assert whys == {"all seeds", "budget"}


def test_whoever_wins_on_all_seeds_has_run_to_its_ends() -> None:
    n_won = 0
    for number, table, _ in random_tables():
        if number < 30:
            race = table.race()
            n_won += race.why == "all seeds"
            assert all((race.winner, seed) in table.caps for seed in range(table.shape[1]))
            assert race.rounds[-1].standing.bound == pytest.approx(table.truth(race.winner, table.shape[1])), number
    assert n_won == 30


@pytest.mark.parametrize("budget", [0.0, 1.0, 20.0])
def test_nor_does_one_with_next_to_nothing(budget: float) -> None:
    assert lognormal([300.0] * 20, 30, 0.3).race(budget).spent <= budget


def test_what_is_not_known_is_never_taken_for_dearer_than_it_is() -> None:
    """Of any cell at any time, on the seeds that it has begun: waiting trials cost more, and may yet fail."""
    n_open = n_ended = 0
    for number, table, budget in random_tables():
        if number % 5:
            continue
        race = table.start(budget)
        for batch in race.run():
            table.run_on(batch)
            for cell in {one.cell for one in batch}:
                n = sum((cell, seed) in table.caps for seed in range(table.shape[1]))
                standing, truth = race._standing(cell, n), table.truth(cell, n)
                assert standing.bound <= truth * (1 + 1e-12) or standing.bound == truth, number
                if standing.n_open:
                    n_open += 1
                else:
                    n_ended += 1
                    assert standing.bound == pytest.approx(truth)
                    assert standing.n_reached == np.isfinite(table.cost[cell, :n]).sum()
    assert min(n_open, n_ended) > 50


def test_a_waiting_trial_counts_as_what_it_may_have_spent() -> None:
    table = Table.of([[100.0, 3000.0, INF]], spent=[[MOST, MOST, 500.0]])
    race = table.start()
    table.run_on([Request(0, 0, INF), Request(0, 1, 800.0), Request(0, 2, INF)])
    race._caps.update(table.caps)
    standing = race._standing(0, 3)
    assert (standing.bound, standing.n_open, standing.n_reached) == ((100 + 800 + 500) / 2, 1, 1)
    assert race._standing(0, 2).bound == 450
    assert race.spent == 1400


def test_one_race_is_like_another() -> None:
    for _, table, budget in list(random_tables())[::10]:
        one, other = Table(table.cost, table.spent, table.loss), Table(table.cost, table.spent, table.loss)
        races = one.race(budget), other.race(budget)
        assert one.batches == other.batches
        assert races[0].rounds == races[1].rounds
        assert races[0].winner == races[1].winner


def test_dear_cells_are_not_run_to_their_ends() -> None:
    table = lognormal([100.0, 130.0, *[1e9] * 62], 30, 0.3)
    race = table.race()
    assert race.winner == 0
    assert race.spent < 0.01 * table.grid
    dearest = max(min(table.caps.get((cell, seed), 0.0), MOST) for cell in range(2, 64) for seed in range(30))
    assert dearest < 20 * 100


def misleading() -> Table:
    """Make two cells that are cheap on the first seeds and fail on the others, beside better ones."""
    cost = np.full((4, 24), 100.0)
    cost[:2, :3], cost[:2, 3:] = 10.0, INF
    cost[3] = 140.0
    return Table.of(cost)


@pytest.mark.parametrize(("n_at_once", "n_seeds"), [(1, 2), (1, 3), (3, 6), (2, 30), (5, 30)])
def test_a_target_that_some_meet_at_once_is_no_reason_to_stop(n_at_once: int, n_seeds: int) -> None:
    cost = np.repeat([[500.0], [600.0], [20.0]], n_seeds, axis=1)
    cost[:2, :n_at_once] = 0.0
    race = Table.of(cost).race()
    assert (race.winner, race.rounds[-1].standing.bound) == (2, 20.0)


def test_a_cell_that_left_too_early_comes_back() -> None:
    table = misleading()
    race = table.race()
    assert race.winner == 2
    first = next(one for one in race.rounds if one.n_halved)
    assert (first.n_seeds, first.leader, first.n_halved) == (FIRST_SEEDS, 0, 2), "the better ones leave"
    assert sum(one.n_back for one in race.rounds) >= 1
    assert race.rounds[-1].standing.bound == 100.0
    assert all(table.caps[2, seed] >= 100 for seed in range(24))


def test_a_round_tells_what_became_of_its_cells() -> None:
    table = lognormal([300.0, *np.geomspace(900, 9000, 15)], 30, 0.3)
    rounds = table.race().rounds
    assert [one.n_seeds for one in rounds] == sorted(one.n_seeds for one in rounds)
    assert {one.n_seeds for one in rounds} <= {1, 3, 6, 12, 24, 30}
    assert rounds[0].n_cells == 16
    for before, after in itertools.pairwise(rounds):
        assert after.n_cells == before.n_cells - before.n_worse - before.n_halved + before.n_back
        half = before.n_cells // 2 if before.n_seeds >= FIRST_SEEDS else 0
        assert before.n_worse + before.n_halved >= half
    assert not any(one.n_worse for one in rounds if one.n_seeds < 6), "so few seeds test nothing"
    assert any(one.n_worse for one in rounds)
    assert all(one.cap <= MOST for one in rounds)


def test_where_nobody_meets_the_target_the_least_loss_wins() -> None:
    loss = np.linspace(0.9, 0.1, 6)[:, None] + 0.01 * np.random.default_rng(0).standard_normal((6, 9))
    table = Table.of(np.full((6, 9), INF), loss=loss)
    race = table.race()
    assert (race.winner, race.why) == (5, "all seeds")
    assert race.share_within(2.0) == 0.0
    assert math.isinf(race.rounds[-1].standing.bound)


def test_without_a_rival_nothing_runs() -> None:
    table = Table.of(np.full((1, 5), 10.0))
    race = table.race()
    assert (race.winner, race.why, race.rounds, race.spent, race.n_begun) == (0, "no other", [], 0, 0)
    assert race.is_over
    assert race.n_alive == 1
    assert race.share_within(2.0) == 0.0


def test_one_seed_is_enough() -> None:
    table = Table.of([[300.0], [200.0], [INF], [250.0]])
    race = table.race()
    assert (race.winner, race.why) == (1, "all seeds")
    assert [one.n_seeds for one in race.rounds] == [1]


def test_a_race_that_is_out_of_budget_names_the_one_in_front() -> None:
    table = lognormal([100.0, *np.geomspace(300, 9000, 15)], 30, 0.2)
    for share in (0.005, 0.01, 0.1):
        race = table.shuffled(0).race(share * table.grid)
        assert race.winner == race.rounds[-1].leader
        assert (race.why == "budget") == (share < 0.1)
    assert race.winner == 0


def test_out_of_budget_what_is_known_beats_what_has_not_failed_yet() -> None:
    """Cells that wait look cheap: of their costs only bounds are known."""
    table = lognormal([3000.0, *[600.0] * 31], 20, 0.5, failing=[0.02, *[0.1] * 31])
    n_met = 0
    for share in np.geomspace(0.002, 0.5, 20):
        for seed in range(4):
            race = table.shuffled(seed).race(share * table.grid)
            leaders = [one.standing.n_reached for one in race.rounds]
            assert race.winner == race.rounds[-1].leader
            if race.why == "budget" and any(leaders):
                n_met += 1
                assert leaders[-1], (share, seed)
    assert n_met > 30


@pytest.mark.parametrize(("factor", "share"), [(1.0, 1 / 8), (1.5, 3 / 8), (1.9, 4 / 8), (2.0, 4 / 8), (50.0, 4 / 8)])
def test_the_share_of_cells_that_are_nearly_as_good(factor: float, share: float) -> None:
    """Those far dearer are not run to their ends, so that no more than this is known of them."""
    table = Table.of(np.repeat([[100.0], [140.0], [150.0], [190.0], [210.0], [300.0], [3000.0], [INF]], 9, axis=1))
    race = table.race()
    assert race.winner == 0
    assert race.share_within(factor) == share


@pytest.mark.parametrize(
    ("medians", "told"),
    [([100.0] + [150.0] * 15 + [500.0] * 16, 0.42), (np.geomspace(100, 1600, 32), 0.29), ([100.0] * 32, 0.85)],
    ids=["half of them", "a quarter", "all"],
)
def test_the_share_is_coarse_where_costs_scatter(medians: Any, told: float) -> None:
    """By as much as docs/tune.md says."""
    table = lognormal(medians, 60, 0.5)
    shares = [table.shuffled(seed).race().share_within(2.0) for seed in range(30)]
    assert np.mean(shares) == pytest.approx(told, abs=0.01)


def test_nobody_is_nearly_as_good_before_there_is_a_winner() -> None:
    table = lognormal([300.0, 400.0, 500.0], 9, 0.1)
    race = table.start()
    assert race.share_within(2.0) == 0.0
    for batch in race.run():
        table.run_on(batch)
        break
    assert race.share_within(2.0) == 0.0


TABLES = {"clear": CLEAR["one cheap"], "misleading": misleading(), "alike": lognormal([300.0] * 64, 30, 0.3)}


def after_each_batch(name: str) -> Iterator[tuple[Race, list[Request]]]:
    """Yield a race before it begins, with each batch, and when it has ended."""
    table = (
        TABLES[name].shuffled(0)
        if name == "clear"
        else Table(*(vars(TABLES[name])[k] for k in ("cost", "spent", "loss")))
    )
    race = table.start()
    yield race, []
    for batch in race.run():
        table.run_on(batch)
        yield race, batch
    yield race, []


@pytest.mark.parametrize("name", TABLES)
def test_cells_that_run_are_alive(name: str) -> None:
    before = INF
    for race, batch in after_each_batch(name):
        if not race.rounds:
            assert race.n_alive == race.n_cells
        assert len({one.cell for one in batch}) <= race.n_alive <= race.n_cells
        if name != "misleading":
            assert race.n_alive <= before
            before = race.n_alive


@pytest.mark.parametrize("name", TABLES)
def test_a_race_is_over_when_it_has_ended_and_not_before(name: str) -> None:
    found = [race.is_over for race, _ in after_each_batch(name)]
    assert found == [False] * (len(found) - 1) + [True]


@pytest.mark.parametrize("name", TABLES)
def test_a_race_that_has_ended_is_over(name: str) -> None:
    *_, (race, _) = after_each_batch(name)
    assert race.is_over


def test_rounds_are_of_plain_numbers() -> None:
    """They make a table."""
    for one in CLEAR["one cheap"].shuffled(3).race().rounds:
        assert isinstance(one, Round)
        assert all(type(value) is int for name, value in vars(one).items() if name.startswith("n_"))
        assert all(isinstance(value, float) for value in (one.cap, one.spent, one.standing.bound))
