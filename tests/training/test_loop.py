"""A plain Accelerate loop with clusterrun's five lines: stopped anywhere, it trains what an
uninterrupted one does.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun.run_folder.metrics import read_metrics
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record
from clusterrun.training.checkpointing.manifest import find_damage
from tests.training_scripts.launches import (
    clean_environment,
    manifest,
    names,
)
from tests.training_scripts.loop_plans import attempts, lines, markers, train

# of an epoch on two ranks: six steps of four batches, and one of the remaining three
BATCHES, STEPS = 27, 7
STOPS = {  # where the stop is requested, and the step at which all exit
    ("step", 1, 2): 3,  # during epoch 0, received by rank 1 only
    ("step", 0, 4): 5,  # during epoch 0 again
    ("in_epoch", 1, 6): 6,  # in an evaluation during an epoch
    ("step", 0, 13): 14,  # at the last step of an epoch
    ("after_epoch", 1, 2): 21,  # in the evaluation after an epoch
    ("step", 0, 25): 26,
}
EVENTS = [*STOPS, ("none", 0, 0)]
# during an epoch, at its last step, after it, and during the last one
FEW_EVENTS = [
    ("step", 0, 2),
    ("step", 0, 13),
    ("after_epoch", 0, 2),
    ("step", 0, 25),
    ("none", 0, 0),
]
FEW_EVENTS_OF_ONE = [*FEW_EVENTS[:3], ("step", 0, 50), FEW_EVENTS[-1]]  # 14 steps per epoch


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> dict[str, str]:
    return clean_environment(tmp_path_factory.mktemp("hf")) | {"ACCELERATE_USE_CPU": "true"}


@pytest.fixture(scope="module")
def two(tmp_path_factory, clean) -> Path:
    """Return the folder of the trainings of two ranks: an uninterrupted one, and one with a stop in
    each attempt.
    """
    root = tmp_path_factory.mktemp("two")
    plans = attempts(root / "whole", [("none", 0, 0)], WORLD_SIZE=2)
    plans += attempts(root / "parts", EVENTS, WORLD_SIZE=2)
    uneven = [("before", 1, 0), ("after_epoch", 0, 0), ("none", 0, 0)]
    plans += attempts(root / "uneven", uneven, uneven=True, first=True, max_steps=2 * STEPS)
    plans += attempts(root / "sent", [("none", 0, 0)], dispatch=True, max_steps=10)
    plans += attempts(
        root / "sent-parts", [("step", 0, 2), ("none", 0, 0)], dispatch=True, max_steps=10
    )
    ended = [("after_epoch", 1, 0), ("none", 0, 0)]
    plans += attempts(root / "ended", ended, max_steps=6, CHECKPOINT_EVERY="0.000001s")
    plans += attempts(root / "drawn", [("none", 0, 0)], seedable=False)
    plans += attempts(root / "drawn-parts", FEW_EVENTS, seedable=False)
    train(root, plans, clean, processes=2)
    return root


@pytest.fixture(scope="module")
def one(tmp_path_factory, clean) -> Path:
    """Return the folder of the trainings of one process."""
    root = tmp_path_factory.mktemp("one")
    plans = attempts(
        root / "plain", [("die", 0, 11), ("none", 0, 0)], clusterrun=False, every="3 steps"
    )
    plans += attempts(root / "break", [("after_epoch", 0, 0), ("none", 0, 0)], max_steps=10)
    plans += attempts(root / "breaks", [("none", 0, 0)], epoch_steps=2, CHECKPOINT_EVERY="2 steps")
    plans += attempts(
        root / "timed", [("none", 0, 0)], first=True, max_steps=1, CHECKPOINT_EVERY="0.000001s"
    )
    plans += attempts(root / "drawn", [("none", 0, 0)], seedable=False)
    plans += attempts(root / "drawn-parts", FEW_EVENTS_OF_ONE, seedable=False)
    train(root, plans, clean, processes=1)
    return root


@pytest.mark.parametrize("rank", [0, 1])
def test_every_stopped_attempt_exits_with_0(two, rank):
    """In the loop, at an epoch's end and in an evaluation: all ranks do."""
    codes = {name: lines(two / name, "codes", rank) for name in ("whole", "parts", "uneven")}
    assert codes == {"whole": ["0"], "parts": ["0"] * 7, "uneven": ["0"] * 3}, (
        two / "log"
    ).read_text()


def test_all_ranks_exit_at_the_same_step(two):
    """A stop that one rank receives takes effect on all at the next step, or in the evaluation in
    which it arrives.
    """
    assert markers(two / "parts", "outcome") == ["stopped"] * len(STOPS) + ["finished"]
    assert markers(two / "parts", "step") == [str(step) for step in [*STOPS.values(), 4 * STEPS]]
    saved = [f"step-{step:08d}-{number:04d}" for number, step in enumerate(STOPS.values(), 1)]
    assert names(two / "parts") == saved
    assert markers(two / "parts", "checkpoint") == [*saved, saved[-1]]


def test_nothing_is_saved_during_accumulation(two):
    """A checkpoint holds complete optimizer steps: all batches of each, and the shorter last one of
    an epoch.
    """
    for name in names(two / "parts"):
        saved = manifest(two / "parts", name)
        step, epoch = int(str(saved["step"])), int(str(saved["epoch"]))
        assert saved["batch"] == min(4 * (step - STEPS * epoch), BATCHES)


def test_code_after_the_loop_runs_once(two):
    """No stopped attempt runs the code after the loops, which would use a partly trained model."""
    assert len(lines(two / "parts", "weights")) == 1


@pytest.mark.parametrize("rank", [0, 1])
def test_the_losses_and_the_data_are_the_same(two, rank):
    """Each rank trains the same samples in the same order, each once, with the same losses to the
    last bit.
    """
    whole = lines(two / "whole", "losses", rank)
    assert len(whole) == 4 * BATCHES
    assert lines(two / "parts", "losses", rank) == whole


@pytest.mark.parametrize("rank", [0, 1])
def test_the_weights_are_the_same(two, rank):
    """After six stops the final weights are bit-identical to those of the uninterrupted training."""
    (weights,) = lines(two / "whole", "weights", rank)
    assert lines(two / "parts", "weights", rank) == [weights]


@pytest.mark.parametrize(("processes", "rank"), [("two", 0), ("two", 1), ("one", 0)])
def test_a_random_order_is_restored(processes, rank, request):
    """shuffle=True is exact without a seedable sampler, as in all public examples: losses, data and
    weights.
    """
    root = request.getfixturevalue(processes)
    whole = lines(root / "drawn", "losses", rank)
    assert len(whole) == 4 * (BATCHES if processes == "two" else 53)
    assert len({tuple(line.split()[2:]) for line in whole[:5]}) == 5
    assert lines(root / "drawn-parts", "losses", rank) == whole
    assert lines(root / "drawn-parts", "weights", rank) == lines(root / "drawn", "weights", rank)
    assert lines(root / "drawn-parts", "codes", rank) == ["0"] * len(FEW_EVENTS)


def test_an_evaluation_after_an_epoch_is_repeated(two):
    """The next attempt repeats an interrupted evaluation once; one during an epoch is omitted."""
    whole = lines(two / "whole", "evaluations")
    assert len(whole) == 4 + 4
    assert lines(two / "parts", "evaluations") == [
        line for line in whole if not line.startswith("in_epoch 6 ")
    ]


def test_an_exact_loader_causes_no_warning(two):
    """The log of a run that is restored exactly has no warning about its loaders."""
    assert "warning" not in (two / "log").read_text()


def test_progress_has_the_total(two):
    """Steps, total, loss and rate are recorded, although the script only reports the loss."""
    progress = read_record(two / "whole" / "progress")
    assert progress["step"] == progress["total"] == str(4 * STEPS)
    last = float(lines(two / "whole", "losses")[-1].split()[1])
    assert float(progress["loss"]) == pytest.approx(last, rel=1e-4)
    assert float(progress["rate"]) > 0


def test_the_metrics_end_with_the_last_step(two):
    """Loss, learning rate and speed are recorded by attempt, with the first step, the saves, and
    the time of the exit.
    """
    metrics = read_metrics(RunPaths(two / "whole"), "0001")
    first, last = metrics.points[0], metrics.points[-1]
    assert last.step == 4 * STEPS
    assert last.loss == pytest.approx(
        float(lines(two / "whole", "losses")[-1].split()[1]), rel=1e-4
    )
    assert last.learning_rate > 0
    assert metrics.first_step <= first.time <= last.time <= metrics.left + 0.01
    assert (metrics.saves > 0) == (metrics.saving > 0)


def test_evaluations_of_different_lengths_do_not_hang(two):
    """Ranks with more evaluation batches than others still exit together, also before any training."""
    assert markers(two / "uneven", "outcome") == ["stopped", "stopped", "finished"]
    assert markers(two / "uneven", "step") == ["0", str(STEPS), str(2 * STEPS)]


@pytest.mark.parametrize("rank", [0, 1])
def test_batches_dispatched_by_rank_0_are_the_same(two, rank):
    """With dispatch_batches, too, a resumed epoch continues at its next batch."""
    assert markers(two / "sent-parts", "step") == ["3", "10"]
    assert lines(two / "sent-parts", "losses", rank) == lines(two / "sent", "losses", rank)


def test_it_resumes_without_clusterrun(one):
    """After a process has died, another one resumes from `<folder>/checkpoints` and trains the
    same.
    """
    assert lines(one / "plain", "codes") == ["9", "0"]
    assert "resumed from step-00000009-0001: epoch 0, batch 36" in (one / "log").read_text()
    trained = lines(one / "plain", "losses")
    assert trained[44:52] == trained[36:44]
    assert len(trained) == 4 * 53 + 8
    assert not (one / "plain" / "events").exists()


def test_a_break_ends_the_epoch_for_resumed_attempts(one):
    """A script that breaks at its last step, and is stopped in the evaluation after it, trains no
    further step.
    """
    folder = one / "break"
    assert markers(folder, "outcome") == ["stopped", "finished"]
    assert markers(folder, "step") == ["10", "10"]
    assert len(lines(folder, "losses")) == 40
    assert [line.split()[0] for line in lines(folder, "evaluations")] == ["in_epoch", "after_epoch"]


def test_a_checkpoint_records_that_its_epoch_has_ended(two):
    """A step that was saved before the `break` is not saved again, and no rank continues training
    from it.
    """
    folder = two / "ended"
    assert markers(folder, "outcome") == ["stopped", "finished"]
    name = "step-00000006-0001"
    assert markers(folder, "checkpoint") == [name] * 2
    assert (manifest(folder, name)["epoch"], manifest(folder, name)["batch"]) == (0, BATCHES)
    assert find_damage(folder / "checkpoints" / name) is None
    assert [len(lines(folder, "losses", rank)) for rank in (0, 1)] == [24, 24]
    assert f"{name} is now at the end of epoch 0" in (two / "log").read_text()


def test_a_due_save_happens_at_a_break(one):
    """A checkpoint that is due at the step at which the body leaves an epoch is saved before the
    next one.
    """
    saved = [manifest(one / "breaks", name) for name in names(one / "breaks")]
    places = [(each["step"], each["epoch"], each["batch"]) for each in saved]
    assert places == [(2, 1, 0), (4, 2, 0), (6, 3, 0), (8, 4, 0)]


def test_a_due_save_happens_during_an_evaluation(one):
    """A timed save that is due while an evaluation runs does not wait for the next step."""
    assert names(one / "timed")[0] == "step-00000000-0001"
