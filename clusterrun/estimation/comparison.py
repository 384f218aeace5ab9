"""The output of `clusterrun estimate`: all strategies, the verdict, and what is not counted."""

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
    "tight": "is tight (over 90 % of the memory)",
    "perhaps": "fits, as far as it is counted",
    "no": "does not fit",
}


@dataclass(frozen=True)
class Comparison:
    """The strategies of one question, in bytes."""

    question: Question
    run: RunSize
    own: Strategy | None
    """The strategy of the spec; None without a spec, or if it is not estimated."""
    rows: tuple[Needs, ...]
    change: str
    """The smallest change that makes the run fit; empty if none is needed or known."""

    def title(self) -> str:
        """Return the heading: what is estimated."""
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
        return f"{size}; {self.unit} per {what}"

    @property
    def unit(self) -> str:
        """GB (1000^3 bytes), or MB if nothing reaches 1 GB."""
        return "GB" if max(needs.total for needs in self.rows) >= 1e9 else "MB"

    def amount(self, size: float | None) -> str:
        """Format bytes in the unit of the table."""
        return "?" if size is None else f"{size / (1e9 if self.unit == 'GB' else 1e6):.1f}"

    def words(self) -> Iterator[str]:
        """Yield the lines below the table: verdict and cost."""
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
                f"cost: at most {one} (time limit)"
                f"{', for each task of the array' if run.tasks else ''}"
            )

    def _advice(self) -> str:
        whole = "" if self.rows[0].whole else ", activations not counted"
        return f"; would fit{whole}: {self.change}" if self.change else ""

    def notes(self) -> Iterator[str]:
        """Yield what is assumed, and what is not counted."""
        if isinstance(self.run.model, Built):
            yield f"model: the {self.run.model.kind} at {self.run.model.place}"
        if self.rows[0].activations is None:
            missing = "--sequence" if self.question.model is not None else "--config and --sequence"
            yield f"activations are not counted; pass {missing} to count them"
        elif self.run.batch is None:
            yield "the batch size per GPU is assumed to be 1; set it with --batch"
        if self.question.gpu_memory is None:
            yield "to see whether it fits, pass --gpu-memory, or set gpu_memory in the profile"
        if self.run.strategy is None:
            yield (
                "the spec's strategy is not estimated (Megatron-LM, hybrid sharding, or other "
                "parallelism)"
            )

    def values(self) -> Estimate:
        """Return the estimate as the values of `--json`, in bytes."""
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
    """Compare all strategies; `own`: the verdict is about the strategy of a spec."""
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
