"""Mixed precision that the hardware does not support, or that accelerate misreads.

Sources: NVIDIA's CUDA programming guide, compute capabilities (fp8 from 8.9, bf16 from 8.0);
accelerate 1.15, Accelerator.__init__ (fp16 refuses CPUs) and utils/launch.py (fp8_config is passed
on for fp8 only).
"""

from __future__ import annotations

import re

from clusterrun.planning.strategy.config_values import ConfigValues
from clusterrun.planning.strategy.machines import REQUEST_GPUS, Machines

PRECISIONS = ("no", "fp16", "bf16", "fp8")

# Names of GPUs at Slurm sites, in any spelling with dashes or underscores.
_WITH_FP8 = re.compile(
    r"(g?h[12]00|h20|h800|l40s?|l4|l20|ada|40[6-9]0|50[6-9]0|g?b[123]00|blackwell|hopper)"
)
_WITHOUT_FP8 = re.compile(r"(a100|a800|a30|a40|a10g?|a16|a2|a[456]000|30[5-9]0|ampere)")
_WITHOUT_BF16 = re.compile(
    r"(v100s?|p100|p40|p4|t4|k[48]0|m[46]0|titan|gtx|(10|16|20)[5-8]0(ti)?|volta|turing|pascal|kepler)"
)
_BACKENDS = ("TE", "AO", "MSAMP")


def check_precision(values: ConfigValues, machines: Machines) -> None:
    """Record the mistakes in `mixed_precision` and `fp8_config`."""
    precision = values.get("mixed_precision")
    if precision is False:
        values.add_problem(
            ["mixed_precision"],
            "accelerate reads no without quotes as false, and fails",
            "write 'no', with quotes",
        )
    elif precision is not None and str(precision).lower() not in PRECISIONS:
        values.add_problem(
            ["mixed_precision"], f"must be one of {', '.join(PRECISIONS)}; got {precision!r}"
        )
    _check_hardware(values, machines, str(precision).lower())
    _check_fp8(values, str(precision).lower())


def _check_hardware(values: ConfigValues, machines: Machines, precision: str) -> None:
    kind = machines.gpu_type
    if precision in ("fp16", "fp8") and not machines.gpus:
        values.add_problem(
            ["mixed_precision"],
            f"{precision} requires GPUs, and the job requests none",
            f"{REQUEST_GPUS}; bf16 works on CPUs, too",
        )
    elif precision == "fp8" and not has_fp8(kind):
        values.add_problem(
            ["mixed_precision"],
            f"{kind} does not support fp8 (Ada, Hopper and newer do)",
            f"write {'bf16' if has_bf16(kind) else 'fp16'}",
        )
    elif precision == "bf16" and not has_bf16(kind):
        values.add_note(
            ["mixed_precision"],
            f"{kind} does not support bf16, which torch emulates slowly; fp16 is fast",
        )


def has_fp8(kind: str) -> bool:
    """Return whether a type of GPU supports fp8; true for unknown types."""
    return not (
        _names_model(_WITHOUT_FP8, kind) and not _names_model(_WITH_FP8, kind)
    ) and has_bf16(kind)


def has_bf16(kind: str) -> bool:
    """Return whether a type of GPU supports bf16; true for unknown types."""
    return (
        not _names_model(_WITHOUT_BF16, kind)
        or _names_model(_WITHOUT_FP8, kind)
        or _names_model(_WITH_FP8, kind)
    )


def _names_model(pattern: re.Pattern[str], kind: str) -> bool:
    """Return whether a type such as `nvidia_a100-sxm4-80gb` or `rtx4090` names a model."""
    return any(
        pattern.fullmatch(part)
        for word in re.split(r"[-_. ]", kind)
        for part in (word, word.removeprefix("rtx"))
    )


def _check_fp8(values: ConfigValues, precision: str) -> None:
    section = values.section("fp8_config")
    if section and precision != "fp8":
        values.add_problem(
            ["fp8_config"],
            "accelerate ignores it without mixed_precision: fp8",
            "write mixed_precision: fp8",
        )
    key = "backend" if "backend" in section else "fp8_backend"
    if section and str(section.get(key, "AO")).upper() not in _BACKENDS:
        values.add_problem(
            ["fp8_config", key], f"must be one of {', '.join(_BACKENDS)}; got {section[key]!r}"
        )
