"""Batches and steps are counted as they happen, and a loop that cannot be resumed is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch.utils.data import DataLoader, Sampler, TensorDataset

from clusterrun.training import TrainingError, TrainingRun
from tests.training_scripts.launches import attempt_of, clean_environment


@dataclass
class Work:
    """A model that is trained in this process."""

    accelerator: Accelerator
    run: TrainingRun
    loader: DataLoader
    optimizer: torch.optim.Optimizer
    model: torch.nn.Module

    def train(self, batch):
        with self.accelerator.accumulate(self.model):
            self.accelerator.backward(self.model(batch[0]).square().mean())
            self.optimizer.step()
            self.optimizer.zero_grad()


class Unseeded(Sampler):
    """A sampler whose order is unknown to everyone."""

    def __init__(self, data):
        self.number = len(data)

    def __len__(self):
        return self.number

    def __iter__(self):
        return iter(torch.randperm(self.number).tolist())


@pytest.fixture
def make(tmp_path, monkeypatch) -> Iterator[Callable[..., Work]]:
    """Return a function that makes the work of an attempt: seven batches, two per step."""
    for name in os.environ.keys() - clean_environment(tmp_path).keys():
        monkeypatch.delenv(name)

    def work(
        prepare: bool = True, accumulate: int = 2, every: str | None = None, **variables: object
    ) -> Work:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
        for name, value in (attempt_of(tmp_path, **variables) if variables else {}).items():
            monkeypatch.setenv(name, value)
        accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulate)
        model = torch.nn.Linear(2, 1)
        parts = (
            model,
            torch.optim.SGD(model.parameters(), lr=0.1),
            DataLoader(TensorDataset(torch.randn(7, 2))),
        )
        model, optimizer, loader = accelerator.prepare(*parts) if prepare else parts
        return Work(
            accelerator, TrainingRun(accelerator, tmp_path, every=every), loader, optimizer, model
        )

    yield work
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def saved(folder) -> list[tuple[int, int, int]]:
    manifests = sorted(folder.glob("checkpoints/*/manifest.json"))
    contents = [json.loads(path.read_text()) for path in manifests]
    return [(each["step"], each["epoch"], each["batch"]) for each in contents]


def test_the_step_includes_the_current_one(make):
    """In the body the step is the number of optimizer steps so far, as soon as they are done."""
    work, seen = make(), []
    for _ in work.run.epochs(2):
        for batch in work.run.batches(work.loader):
            before = work.run.step
            work.train(batch)
            seen.append((before, work.run.step))
    assert seen == [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3), (3, 4), (4, 4), (4, 5), (5, 5), (5, 6), (6, 6), (6, 7), (7, 8)]  # fmt: skip


def test_a_loop_without_accumulate_makes_a_step_per_batch(make, tmp_path):
    """The simplest loop, which only calls backward and step, is counted too."""
    work = make(accumulate=1, every="3 steps")
    for _ in work.run.epochs(1):
        for (x,) in work.run.batches(work.loader):
            work.accelerator.backward(work.model(x).square().mean())
            work.optimizer.step()
            work.optimizer.zero_grad()
    work.run.finish()
    assert work.run.step == 7
    assert saved(tmp_path) == [(3, 0, 3), (6, 0, 6)]


@pytest.mark.parametrize(("trained", "place"), [(False, (1, 0, 2)), (True, (2, 0, 4))])
def test_an_evaluation_counts_the_batch_only_if_it_is_trained(make, tmp_path, trained, place):
    """A save in an evaluation at the start of the body leaves the current batch to the next
    attempt.
    """
    work = make(CHECKPOINT_EVERY="500 steps")
    for _ in work.run.epochs(1):
        for number, batch in enumerate(work.run.batches(work.loader)):
            if trained:
                work.train(batch)
            if number == (3 if trained else 2):
                (tmp_path / "signal-0001").touch()
                with pytest.raises(SystemExit):
                    list(work.run.evaluation([1, 2, 3]))
                assert saved(tmp_path) == [place]
                return
            if not trained:
                work.train(batch)


def test_an_evaluation_during_accumulation_is_not_interrupted(make, tmp_path):
    """If gradients would be lost, a stop waits for the next step."""
    work = make(CHECKPOINT_EVERY="500 steps")
    evaluated = []

    def train():
        for _ in work.run.epochs(1):
            for number, batch in enumerate(work.run.batches(work.loader)):
                work.train(batch)
                if number == 2:
                    (tmp_path / "signal-0001").touch()
                    evaluated.extend(work.run.evaluation([1, 2, 3]))

    with pytest.raises(SystemExit):
        train()
    assert evaluated == [1, 2, 3]
    assert saved(tmp_path) == [(2, 0, 4)]


def test_an_evaluation_that_ends_early_keeps_the_random_state(make):
    """A script that takes only a few batches, and keeps the rest for later, does not change the
    training either.
    """
    work = make()
    for _ in work.run.epochs(1):
        for number, batch in enumerate(work.run.batches(work.loader)):
            work.train(batch)
            before = torch.get_rng_state()
            kept = work.run.evaluation([1, 2, 3])
            next(kept)
            torch.rand(number + 1)
        assert torch.equal(torch.get_rng_state(), before)


def test_batches_are_requested_once_per_epoch(make):
    """A second loop over batches in one epoch could not be resumed, and is refused with a hint."""
    work = make()
    for _ in work.run.epochs(1):
        for batch in work.run.batches(work.loader):
            work.train(batch)
        with pytest.raises(
            TrainingError, match=r"called twice in epoch 0.*\n  hint: .*run.evaluation"
        ):
            next(work.run.batches(work.loader))


def test_a_loader_whose_order_is_lost_is_named_once(make, capsys):
    """The warning appears when the run resumes, and not again in each epoch; other loaders cause
    none.
    """
    work = make()
    data = TensorDataset(torch.randn(7, 2))
    shuffled = work.accelerator.prepare(DataLoader(data, sampler=Unseeded(data)))
    for _ in work.run.epochs(2):
        for batch in work.run.batches(shuffled):
            work.train(batch)
    printed = capsys.readouterr().err
    assert printed.count("warning: the order of DataLoader") == 1
    assert (
        "DataLoader 2 of 2 (TensorDataset, 7 batches per epoch) cannot be restored exactly"
        in printed
    )


def test_resuming_before_prepare_is_refused(make):
    """The checkpoint would be loaded into no model."""
    with pytest.raises(TrainingError, match=r"before accelerator\.prepare"):
        next(make(prepare=False).run.epochs(1))


def test_the_step_is_unknown_before_the_run_has_resumed(make):
    """A run that is about to resume does not report step 0."""
    work = make()
    with pytest.raises(TrainingError, match="not known before the run has resumed"):
        _ = work.run.step
    work.run.resume()
    assert work.run.step == 0


def test_batches_without_tensors_are_trained(make):
    """Batches without a known size give no rate, and cause no error."""
    work = make(accumulate=1)
    batches = [{"text": "a"}, None, {"text": []}, {}]
    assert [batch for _ in work.run.epochs(1) for batch in work.run.batches(batches)] == batches


def test_a_second_loop_over_epochs_is_refused(make):
    """It would start after the first one's last epoch and silently train nothing."""
    work = make()
    for _ in work.run.epochs(1):
        for batch in work.run.batches(work.loader):
            work.train(batch)
    with pytest.raises(TrainingError, match=r"run\.epochs was used twice.*\n  hint: use one loop"):
        list(work.run.epochs(2))
    assert work.run.step == 4


def test_a_second_run_in_one_script_is_refused(make, tmp_path):
    """Folds of a cross-validation would resume from each other's weights; no attempt can change
    that.
    """
    work = make(CHECKPOINT_EVERY="500 steps")
    with pytest.raises(TrainingError, match=r"second TrainingRun.*\n  hint: submit each training"):
        TrainingRun(work.accelerator, tmp_path / "other")
    marker = (tmp_path / "events" / "attempt-0001.trainer").read_text()
    assert "outcome=no-restart\n" in marker


def test_two_runs_without_clusterrun_have_separate_folders(make, tmp_path):
    """On a laptop a script may train twice: separate folders keep the trainings apart."""
    work = make()
    other = TrainingRun(work.accelerator, tmp_path / "other")
    assert other.resume().step == 0
