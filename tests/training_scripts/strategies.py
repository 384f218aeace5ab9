"""Strategies as in a job spec, and the same launched on this machine, on two CPU ranks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .launches import (
    EXAMPLE,
    Launch,
    accelerate_launch,
    free_port,
    is_heavy,
    real_accelerate_launch,
)

OVER_GLOO = Path(__file__).parent / "over_gloo.py"


@dataclass(frozen=True)
class Strategy:
    """One way to share a training among ranks: DDP if it has neither a ZeRO stage nor FSDP2."""

    zero_stage: int | None = None
    mixed_precision: str = "no"
    fsdp2: bool = False
    block: str = "GPT2Block"
    """The class that FSDP wraps."""

    @property
    def distributed_type(self) -> str:
        """Return accelerate's name for it on CPUs."""
        return "DEEPSPEED" if self.zero_stage is not None else "FSDP" if self.fsdp2 else "MULTI_CPU"

    def accelerate(self, accumulation: int = 1) -> dict[str, Any]:
        """Return the spec's section of that name."""
        words = {
            "mixed_precision": self.mixed_precision,
            "gradient_accumulation_steps": accumulation,
        }
        if self.distributed_type == "MULTI_CPU":
            return {"use_cpu": True, **words}
        # With ACCELERATE_USE_CPU DDP would train instead.
        if self.fsdp2:
            return {"use_cpu": False, **words, "fsdp_config": self._fsdp()}
        # The last word lets a script save the gathered model.
        section = {
            "zero_stage": self.zero_stage,
            "gradient_clipping": 1.0,
            "zero3_save_16bit_model": True,
        }
        return {"use_cpu": False, **words, "deepspeed_config": section}

    def variables(self, script: Path = EXAMPLE) -> dict[str, str]:
        """Return the spec's environment.variables, for a script that over_gloo.py runs."""
        more = {
            "DEEPSPEED": {"DS_ACCELERATOR": "cpu", "BACKEND": "gloo"},
            "FSDP": {"BACKEND": "gloo"},
        }
        return {"SCRIPT": str(script), **more.get(self.distributed_type, {})}

    def _fsdp(self) -> dict[str, Any]:
        return {
            "fsdp_version": 2,
            "fsdp_reshard_after_forward": True,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_transformer_layer_cls_to_wrap": self.block,
            "fsdp_state_dict_type": "SHARDED_STATE_DICT",
            "fsdp_cpu_ram_efficient_loading": False,
        }


def start_ranks(strategy: Strategy, script: Path, *arguments: object, environment: dict[str, str], log: Path,
                accumulation: int = 1, ranks: int = 2) -> Launch:  # fmt: skip
    """Start a script on CPU ranks as with such a spec; `environment` overrides the strategy's
    variables.
    """
    section = strategy.accelerate(accumulation)
    steps = section.pop("gradient_accumulation_steps")
    if strategy.zero_stage is not None:
        section["deepspeed_config"] |= {"gradient_accumulation_steps": steps}
    variables = {"ACCELERATE_GRADIENT_ACCUMULATION_STEPS": str(steps), **strategy.variables(script)}
    if strategy.distributed_type == "MULTI_CPU":
        variables["ACCELERATE_USE_CPU"] = "true"
    return start_configured(
        section, OVER_GLOO, *arguments, environment=variables | environment, log=log, ranks=ranks
    )


def start_configured(section: dict[str, Any], script: Path, *arguments: object, environment: dict[str, str], log: Path,
                     ranks: int, real: bool = False) -> Launch:  # fmt: skip
    """Start a script with `accelerate launch` and a config of these words; `real`: not as forks,
    which need CPUs.
    """
    kinds = {"deepspeed_config": "DEEPSPEED", "fsdp_config": "FSDP"}
    kind = next((kinds[word] for word in section if word in kinds), "MULTI_GPU")
    config = log.with_name(f"{log.name}-accelerate.yaml")
    config.write_text(
        yaml.safe_dump(
            {"compute_environment": "LOCAL_MACHINE", "distributed_type": kind, **section}
        )
    )
    words = [
        "--config_file",
        config,
        "--num_machines",
        1,
        "--num_processes",
        ranks,
        "--machine_rank",
        0,
    ]
    words += [
        "--main_process_ip",
        "127.0.0.1",
        "--main_process_port",
        free_port(),
        script,
        *arguments,
    ]
    argv = [str(word) for word in words]
    if real:
        return real_accelerate_launch(argv, environment=environment, log=log)
    heavy = is_heavy(Path(environment.get("SCRIPT", script)))
    return accelerate_launch(argv, environment=environment, log=log, heavy=heavy)
