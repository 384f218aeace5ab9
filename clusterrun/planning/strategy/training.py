"""The batch size, accumulation and precision that a spec passes to its script."""

from __future__ import annotations

from dataclasses import dataclass

from clusterrun.job_spec.arguments import arguments_of
from clusterrun.job_spec.model import JobSpec
from clusterrun.training_script import TrainingScript
from clusterrun.training_script.arguments import BATCH_SIZES, whole_number

_STEPS = "gradient_accumulation_steps"


@dataclass(frozen=True)
class Training:
    """Samples per process and batch, and batches per optimizer step; None: not set."""

    micro_batch: int | None
    micro_batch_key: str
    steps: int | None
    """The value of `accelerate.gradient_accumulation_steps`."""
    argument_steps: int | None
    """The value of the script's own argument."""
    precision: str
    """The mixed precision that an argument sets; empty if none does."""
    trainer: bool = False
    """Whether a Trainer trains, which has its own argument for accumulation."""

    @property
    def accumulation(self) -> int | None:
        """The batches of an optimizer step: accelerate's value overrides the script's."""
        return self.steps or self.argument_steps


def training_of(spec: JobSpec, script: TrainingScript | None) -> Training:
    """Return the batch size, accumulation and precision of a spec."""
    args = arguments_of(spec)
    sizes = ((key, whole_number(args.get(key))) for key in BATCH_SIZES)
    key, size = next(((key, size) for key, size in sizes if size), ("", None))
    flags = [name for name in ("fp16", "bf16") if args.get(name) not in (None, False, "false")]
    precision = str(args.get("mixed_precision") or next(iter(flags), ""))
    return Training(
        size,
        key,
        spec.accelerate.gradient_accumulation_steps,
        whole_number(args.get(_STEPS)),
        precision,
        trainer=script is not None and script.uses_trainer,
    )


def script_defaults(script: TrainingScript | None, spec: JobSpec) -> tuple[int | None, int | None]:
    """Return the script's defaults of batch size and accumulation, if a spec sets none."""
    if script is None:
        return None, None
    args = arguments_of(spec)
    return script.default_batch_size(args), whole_number(script.defaults(args).get(_STEPS))
