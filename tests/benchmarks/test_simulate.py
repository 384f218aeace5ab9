"""The model of benchmarks/simulate.py agrees with closed formulas where they hold, and reads the results that are there."""

from __future__ import annotations

import math
from argparse import Namespace
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
HOUR = 3600.0


@pytest.fixture
def model(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import simulate_model

    return simulate_model


@pytest.fixture
def simulate(model):
    import simulate

    return simulate


def way(model, rule, save=0.0, restart=0.0, saves=False):
    answer = model.Answer(restart, saves=False)
    answers = {"failure": answer, "preemption": model.Answer(restart, saves=saves), "limit": answer}
    return model.Way("", answers, rule, save)


@pytest.mark.parametrize(
    ("between", "start"), [(24 * HOUR, 0.0), (4 * HOUR, 0.0), (4 * HOUR, 600.0)]
)
def test_with_failures_only_the_result_is_dalys_formula(model, between, start):
    known = model.formula(between, 1800, 30, 600, start)
    world = model.World(between, start=start)
    mean, error = model.mean_ettr(
        way(model, model.fixed(1800), 30, 600), world, 2000 * HOUR, 100, seed=1
    )
    assert error < 0.002
    assert abs(mean - known) < 4 * error


def test_the_first_order_formula_is_close_if_failures_are_rare(model):
    known, near = (f(500 * HOUR, 1800, 30, 600) for f in (model.formula, model.meta_formula))
    assert math.isclose(known, near, abs_tol=1e-3)


def test_an_announced_stop_costs_a_save_and_a_restart(model):
    world = model.World(math.inf, between_preemptions=10 * HOUR)
    saved, error = model.mean_ettr(
        way(model, model.fixed(1e9), 60, 540, saves=True), world, 2000 * HOUR, 100, seed=1
    )
    assert abs(saved - (10 * HOUR - 60) / (10 * HOUR + 540)) < 4 * error
    assert (
        model.mean_ettr(way(model, model.fixed(1e9), 60, 540), world, 2000 * HOUR, 5, seed=1)[0]
        == 0
    )


def test_a_learned_interval_is_nearly_as_good_as_the_best(model):
    world = model.World(3 * HOUR)
    learned, best = (
        model.mean_ettr(way(model, rule, 30, 300), world, 720 * HOUR, 50, seed=1)[0]
        for rule in (model.learned(30.0), model.fixed(math.sqrt(2 * 30 * 3 * HOUR)))
    )
    assert abs(learned - best) < 0.005


def test_existing_results_are_read_and_used(simulate):
    inputs = simulate.read_inputs(simulate.RESULTS)
    assert inputs.rows["clusterrun"]["preemption"].back
    assert inputs.rows["clusterrun"]["preemption"].lost <= 1
    assert inputs.delay > 100
    assert inputs.dearer > 1
    options = Namespace(person=60, every=60, save=10, preempted=24, limit=24, start=5)
    ways = simulate.ways(inputs, simulate.world_of(1024, 6.5e-3, options), options)
    ours, recipe = ways[0], ways[1]
    assert ours.save == 10 * inputs.dearer
    assert ours.answers["preemption"].saves
    assert (
        recipe.answers["failure"].restart
        == inputs.rows[recipe.name]["failure"].seconds + inputs.delay
    )
    by_hand = [each.answers["preemption"].restart > HOUR for each in ways]
    assert by_hand == [not inputs.rows[each.name.split(";")[0]]["preemption"].back for each in ways]


def test_results_in_another_format_are_refused(simulate, tmp_path):
    for name in ("handover.md", "overhead.md"):
        (tmp_path / name).write_text(
            (simulate.RESULTS / name).read_text().replace("clusterrun", "another")
        )
    with pytest.raises(ValueError, match="lacks results of clusterrun"):
        simulate.read_inputs(tmp_path)
