"""What the script is told of batches and precision, as far as a spec shows it."""

from __future__ import annotations

from dataclasses import dataclass

from clusterrun.job_spec.arguments import arguments_of
from clusterrun.job_spec.model import JobSpec
from clusterrun.training_script import TrainingScript
from clusterrun.training_script.arguments import BATCH_SIZES, whole_number

_STEPS = "gradient_accumulation_steps"


@dataclass(frozen=True)
class Training:
    """Samples of a process at a time, and how many times an optimizer step; None: not set."""

    micro_batch: int | None
    micro_batch_key: str
    steps: int | None
    """What `accelerate.gradient_accumulation_steps` asks for."""
    argument_steps: int | None
    """What the script's own argument asks for."""
    precision: str
    """The mixed precision that an argument asks for; empty where none does."""
    trainer: bool = False
    """Whether a Trainer trains, which has its own word for accumulation."""

    @property
    def accumulation(self) -> int | None:
        """Return the batches of an optimizer step: accelerate's value overrides the script's."""
        return self.steps or self.argument_steps


def training_of(spec: JobSpec, script: TrainingScript | None) -> Training:
    """Read batch size and accumulation from a spec."""
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
    """Return the batch size and the accumulation that a script has for a spec that gives none."""
    if script is None:
        return None, None
    given = arguments_of(spec)
    return script.default_batch_size(given), whole_number(script.defaults(given).get(_STEPS))
