"""Keys of `environment` that select a Python, the shell's conda, and `srun_options`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clusterrun.errors import SpecError
from clusterrun.job_spec.load import load_spec
from clusterrun.planning.active_python import shell_layer

SCRIPT = "script: t.py\n"
WRONG = [
    ("environment: {venv: v, uv: .}", "environment.uv", "cannot be combined with venv"),
    ("environment: {conda: c, uv: .}", "environment.uv", "cannot be combined with conda"),
    ("environment: {venv: v, conda_base: /b}", "environment.conda_base", "cannot be combined with venv"),
    ("srun_options: {nodes: 2}", "srun_options.nodes", "managed by clusterrun"),
    ("srun_options: {ntasks_per_node: 2}", "srun_options.ntasks_per_node", "managed by clusterrun"),
    ("srun_options: {label: true}", "srun_options.label", "managed by clusterrun"),
    ("srun_options: {kill-on-bad-exit: 0}", "srun_options.kill-on-bad-exit", "managed by clusterrun"),
    ("srun_options: {container-image: x}", "srun_options.container-image", "not allowed"),
    ("srun_options: {cpu-bnd: none}", "srun_options.cpu-bnd", "not an option"),
]  # fmt: skip


def environment(text: str, shell: dict[str, str], profile: Path | None = None) -> dict[str, Any]:
    """Return the section as a spec has it, with the values of a shell below it."""
    loaded = load_spec("job.yaml", text=SCRIPT + text, shell=shell_layer(shell), profile=profile)
    section = loaded.spec.environment.model_dump(exclude_defaults=True)
    return {key: value for key, value in section.items() if key in ("venv", "conda", "conda_base", "uv")}  # fmt: skip


@pytest.mark.parametrize(("text", "key", "what"), WRONG)
def test_a_key_that_cannot_be_used_is_refused(text: str, key: str, what: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec("job.yaml", text=SCRIPT + text)
    assert [(one.key, what in one.message, bool(one.hint)) for one in caught.value.problems] == [
        (key, True, True)
    ]


def test_srun_options_are_spelled_with_dashes() -> None:
    spec = load_spec(
        "job.yaml", text=f"{SCRIPT}srun_options: {{cpu_bind: cores, --mpi: pmix}}"
    ).spec
    assert spec.srun_options == {"cpu-bind": "cores", "mpi": "pmix"}


@pytest.mark.parametrize(
    ("shell", "base"),
    [
        ({"CONDA_EXE": "/s/mini/bin/conda"}, "/s/mini"),
        ({"CONDA_EXE": "/s/mini/bin/conda", "MAMBA_EXE": "/s/mini/bin/mamba"}, "/s/mini"),
        ({"MAMBA_EXE": "/s/forge/bin/mamba"}, "/s/forge"),
        ({"MAMBA_EXE": "/home/u/.local/bin/micromamba"}, "/home/u/.local/bin/micromamba"),
        ({"CONDA_EXE": "conda"}, None),
        ({}, None),
    ],
)
def test_the_shells_conda_is_the_base(shell: dict[str, str], base: str | None) -> None:
    found = environment("environment: {conda: train}", {**shell, "VIRTUAL_ENV": "/v"})
    assert found == {"conda": "train", **({"conda_base": base} if base else {})}


def test_a_base_comes_from_the_spec_then_the_profile_then_the_shell(tmp_path: Path) -> None:
    shell = {"CONDA_EXE": "/shell/bin/conda", "VIRTUAL_ENV": "/v"}
    profile = tmp_path / "profile.yaml"
    profile.write_text("environment: {conda_base: /site}\n")
    assert environment("environment: {conda: c}", shell, profile)["conda_base"] == "/site"
    own = "environment: {conda: c, conda_base: /own}"
    assert environment(own, shell, profile)["conda_base"] == "/own"
    assert environment("environment: {venv: v}", shell, profile) == {"venv": "v"}
    assert environment("environment: {uv: .}", shell) == {"uv": "."}


def test_an_active_conda_environment_brings_its_base() -> None:
    shell = {"CONDA_PREFIX": "/s/mini/envs/e", "CONDA_EXE": "/s/mini/bin/conda"}
    assert environment("", shell) == {"conda": "/s/mini/envs/e", "conda_base": "/s/mini"}
