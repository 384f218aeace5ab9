"""Mixed precision that the hardware lacks, or that accelerate would read as another.

Sources: NVIDIA's CUDA programming guide, compute capabilities (fp8 from 8.9, bf16 from 8.0);
accelerate 1.15, Accelerator.__init__ (fp16 refuses CPUs) and utils/launch.py (fp8_config is handed
on for fp8 only).
"""

from __future__ import annotations

import re

from clusterrun.planning.strategy.given import Given
from clusterrun.planning.strategy.machines import Machines

PRECISIONS = ("no", "fp16", "bf16", "fp8")

# What Slurm's sites call their GPUs, in any spelling with dashes or underscores.
_WITH_FP8 = re.compile(
    r"(g?h[12]00|h20|h800|l40s?|l4|l20|ada|40[6-9]0|50[6-9]0|g?b[123]00|blackwell|hopper)"
)
_WITHOUT_FP8 = re.compile(r"(a100|a800|a30|a40|a10g?|a16|a2|a[456]000|30[5-9]0|ampere)")
_WITHOUT_BF16 = re.compile(
    r"(v100s?|p100|p40|p4|t4|k[48]0|m[46]0|titan|gtx|(10|16|20)[5-8]0(ti)?|volta|turing|pascal|kepler)"
)
_BACKENDS = ("TE", "AO", "MSAMP")


def check_precision(given: Given, machines: Machines) -> None:
    """Note what is wrong with `mixed_precision` and `fp8_config`."""
    precision = given.get("mixed_precision")
    if precision is False:
        given.fault(
            ["mixed_precision"],
            "accelerate reads a bare no as false, and fails",
            "'no', with quotes",
        )
    elif precision is not None and str(precision).lower() not in PRECISIONS:
        given.fault(
            ["mixed_precision"], f"must be one of {', '.join(PRECISIONS)}; got {precision!r}"
        )
    _check_hardware(given, machines, str(precision).lower())
    _check_fp8(given, str(precision).lower())


def _check_hardware(given: Given, machines: Machines, precision: str) -> None:
    kind = machines.gpu_type
    if precision in ("fp16", "fp8") and not machines.gpus:
        given.fault(
            ["mixed_precision"],
            f"{precision} needs GPUs, and none are asked for",
            "bf16 works on CPUs, too",
        )
    elif precision == "fp8" and not has_fp8(kind):
        given.fault(
            ["mixed_precision"],
            f"{kind} has no fp8: that begins with Ada and Hopper",
            "bf16" if has_bf16(kind) else "fp16",
        )
    elif precision == "bf16" and not has_bf16(kind):
        given.note(
            ["mixed_precision"],
            f"{kind} has no bf16, and torch computes it slowly in its place; fp16 is fast",
        )


def has_fp8(kind: str) -> bool:
    """Return whether a type of GPU computes in fp8; true if its name does not tell."""
    return not (
        _names_model(_WITHOUT_FP8, kind) and not _names_model(_WITH_FP8, kind)
    ) and has_bf16(kind)


def has_bf16(kind: str) -> bool:
    """Return whether a type of GPU computes in bf16; true if its name does not tell."""
    return (
        not _names_model(_WITHOUT_BF16, kind)
        or _names_model(_WITHOUT_FP8, kind)
        or _names_model(_WITH_FP8, kind)
    )


def _names_model(pattern: re.Pattern[str], kind: str) -> bool:
    """Return whether a type names a model, as `nvidia_a100-sxm4-80gb` or `rtx4090` does."""
    return any(
        pattern.fullmatch(part)
        for word in re.split(r"[-_. ]", kind)
        for part in (word, word.removeprefix("rtx"))
    )


def _check_fp8(given: Given, precision: str) -> None:
    section = given.section("fp8_config")
    if section and precision != "fp8":
        given.fault(
            ["fp8_config"],
            "accelerate hands it on for mixed_precision: fp8 only",
            "mixed_precision: fp8",
        )
    key = "backend" if "backend" in section else "fp8_backend"
    if section and str(section.get(key, "AO")).upper() not in _BACKENDS:
        given.fault(
            ["fp8_config", key], f"must be one of {', '.join(_BACKENDS)}; got {section[key]!r}"
        )
