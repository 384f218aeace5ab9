"""What `clusterrun estimate` prints: all strategies, the verdict, and what was not counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from clusterrun.estimation.needs import Needs, Question, needs_of
from clusterrun.estimation.run_size import RunSize
from clusterrun.estimation.states import DDP, TABLE, Strategy
from clusterrun.estimation.verdict import smallest_change
from clusterrun.results import Estimate, StrategyEstimate
from clusterrun.training_script.models import Built

_FITS = {
    "yes": "fits",
    "tight": "is tight: more than nine tenths of the memory",
    "perhaps": "fits as far as it was counted",
    "no": "does not fit",
}


@dataclass(frozen=True)
class Comparison:
    """The answer, in bytes."""

    question: Question
    run: RunSize
    own: Strategy | None
    """The strategy of the spec; None without a spec, and for a strategy that is not estimated."""
    rows: tuple[Needs, ...]
    change: str
    """The smallest change with which the run fits; empty if none is needed, or nothing is known."""

    def title(self) -> str:
        """Return the heading: what was estimated."""
        question, run = self.question, self.run
        what = "GPU" if run.gpus_per_node else "process"
        many = ("es" if what == "process" else "s") if question.gpus > 1 else ""
        memory = (
            f" of {question.gpu_memory / 1e9:.4g} GB" if question.gpu_memory is not None else ""
        )
        precision = "fp32" if run.precision == "no" else run.precision
        size = (
            f"{_format_count(question.parameters)} parameters, "
            f"{question.gpus} {what}{many}{memory}, {precision}, AdamW"
        )
        return f"{size}; {self.unit} on each {what}"

    @property
    def unit(self) -> str:
        """GB, of 1000^3 bytes; MB if nothing reaches one."""
        return "GB" if max(needs.total for needs in self.rows) >= 1e9 else "MB"

    def amount(self, size: float | None) -> str:
        """Write bytes in the unit of the table."""
        return "?" if size is None else f"{size / (1e9 if self.unit == 'GB' else 1e6):.1f}"

    def words(self) -> Iterator[str]:
        """Yield what is said below the table."""
        run, memory = self.run, self.question.gpu_memory
        if memory is not None and self.own is not None:
            fits = next(needs.fits(memory) for needs in self.rows if needs.strategy == self.own)
            yield f"verdict: {self.own.name} {_FITS[fits]}{self._advice()}"
        elif self.change:
            yield f"verdict: DDP does not fit{self._advice()}"
        if run.gpu_hours:
            nodes = f"{run.nodes} node{'s' * (run.nodes > 1)} x {run.gpus_per_node} GPUs"
            whole = run.nodes * run.gpus_per_node == run.processes
            one = (
                f"{nodes if whole else f'{run.processes} GPUs'} x {run.hours:g} h = "
                f"{run.gpu_hours:g} GPU hours"
            )
            yield (
                f"cost: {one}, up to the time "
                f"limit{', for each task of the array' if run.tasks else ''}"
            )

    def _advice(self) -> str:
        whole = "" if self.rows[0].whole else ", activations not counted"
        return f"; would fit{whole}: {self.change}" if self.change else ""

    def notes(self) -> Iterator[str]:
        """Yield what was assumed, and what was not counted."""
        if isinstance(self.run.model, Built):
            yield f"the model is the {self.run.model.kind} at {self.run.model.place}"
        if self.rows[0].activations is None:
            missing = "--sequence" if self.question.model is not None else "--config and --sequence"
            yield f"activations are not counted: {missing} would tell"
        elif self.run.batch is None:
            yield "one sample on each GPU at a time; --batch says how many"
        if self.question.gpu_memory is None:
            yield "whether it fits: --gpu-memory, or gpu_memory in the profile, would tell"
        if self.run.strategy is None:
            yield (
                "the spec's own strategy is not estimated: Megatron-LM, hybrid sharding or more "
                "dimensions"
            )

    def values(self) -> Estimate:
        """Return all of it for a program, in bytes."""
        question = self.question
        return Estimate(
            parameters=question.parameters,
            gpus=question.gpus,
            mixed_precision=self.run.precision,
            gpu_memory=question.gpu_memory,
            gpu_hours=self.run.gpu_hours,
            strategy=self.own.name if self.own else None,
            strategies=tuple(_strategy_estimate(needs, question.gpu_memory) for needs in self.rows),
            suggested_change=self.change or None,
        )


def compare_strategies(question: Question, run: RunSize, *, own: bool) -> Comparison:
    """Answer a question; `own`: a spec gave the strategy, and the verdict is about it."""
    chosen = run.strategy if own else None
    strategies = [*TABLE, *([chosen] if chosen is not None and chosen not in TABLE else [])]
    change = ""
    if chosen is not None or not own:
        change = smallest_change(
            question, chosen or DDP, run.gpus_per_node if own and run.gpus_per_node else 1
        )
    return Comparison(
        question, run, chosen, tuple(needs_of(question, one) for one in strategies), change
    )


def _strategy_estimate(needs: Needs, memory: int | None) -> StrategyEstimate:
    states = needs.states
    return StrategyEstimate(
        name=needs.strategy.name,
        accelerate=needs.strategy.words,
        weights=round(states.weights),
        gradients=round(states.gradients),
        optimizer=round(states.optimizer),
        model_states=round(states.total),
        buffers=_round_size(needs.buffers),
        activations=_round_size(needs.activations),
        total=round(needs.total),
        offloaded=round(states.host),
        fits=None if memory is None else needs.fits(memory),
    )


def _round_size(size: float | None) -> int | None:
    return None if size is None else round(size)


def _format_count(count: int) -> str:
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if count >= size:
            return f"{count / size:.4g}{unit}"
    return str(count)
