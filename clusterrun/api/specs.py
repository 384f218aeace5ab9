"""The commands about job specs, the site, the shell and old runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from clusterrun import units
from clusterrun.errors import Problem, SpecError
from clusterrun.estimation import answers
from clusterrun.estimation.sweep_estimate import estimate_sweep
from clusterrun.job_spec import Loaded
from clusterrun.job_spec import load_spec as read_spec
from clusterrun.job_spec.json_schema import json_schema
from clusterrun.job_spec.profile import find_profile, own_profile
from clusterrun.json_output.answer_schema import answer_schema
from clusterrun.planning.active_python import shell_layer
from clusterrun.planning.cluster_limits import refuse_unfit_requests
from clusterrun.planning.explanation import Origin
from clusterrun.planning.explanation import explain as origins_of
from clusterrun.planning.member_specs import list_member_specs
from clusterrun.planning.plan import make_plan
from clusterrun.planning.preparation import Request, prepare
from clusterrun.planning.requests import JobLike, make_request
from clusterrun.planning.script import render as render_plan
from clusterrun.planning.validation import plan_and_render, valid_spec
from clusterrun.results import Cleanup, DryRun, Estimate, NewSpec, ValidSpec
from clusterrun.site_checks.examination import Examination
from clusterrun.site_checks.examination import doctor as examine
from clusterrun.site_checks.first_profile import first_profile
from clusterrun.site_checks.first_profile import write_profile as put_profile
from clusterrun.starter import new_file
from clusterrun.starter.files import site_defaults
from clusterrun.starter.first_spec import SpecRequest
from clusterrun.submission.submitting import try_submission
from clusterrun.upkeep import cleaning, cleanup_plan

Value = TypeVar("Value")


def load_spec(
    job: JobLike, *, overrides: Sequence[str] = (), profile: str | Path | None = None
) -> Loaded:
    """Load a job spec with the site's profile below it and the overrides above it.

    `profile` is a path, or empty for no profile. Raises SpecError with every mistake.
    """
    request = make_request(job, overrides, profile)
    site = find_profile(request.profile, request.environment)
    return read_spec(
        request.source,
        overrides=request.overrides,
        profile=site,
        text=request.text,
        shell=shell_layer(request.environment),
    )


def validate(
    job: JobLike,
    *,
    overrides: Sequence[str] = (),
    profile: str | Path | None = None,
    templates: Sequence[str | Path] = (),
) -> ValidSpec:
    """Check a job spec and the files that it names. Raises SpecError with every mistake."""
    prepared = prepare(make_request(job, overrides, profile, templates))
    plan, _ = plan_and_render(prepared)
    refuse_unfit_requests(prepared)
    return valid_spec(prepared, plan)


def render(
    job: JobLike,
    *,
    overrides: Sequence[str] = (),
    profile: str | Path | None = None,
    templates: Sequence[str | Path] = (),
) -> str:
    """Return the sbatch script of a job spec; files that it names may be missing on this machine.

    Raises SpecError for mistakes in the spec.
    """
    return render_plan(make_plan(prepare(make_request(job, overrides, profile, templates))))


def explain(
    job: JobLike,
    *,
    overrides: Sequence[str] = (),
    profile: str | Path | None = None,
    templates: Sequence[str | Path] = (),
) -> tuple[Origin, ...]:
    """Return every value that the job script is rendered from, with its origin: `render --explain`.

    Raises SpecError for mistakes in the spec.
    """
    return tuple(origins_of(prepare(make_request(job, overrides, profile, templates))))


def dry_run(
    job: JobLike,
    *,
    overrides: Sequence[str] = (),
    profile: str | Path | None = None,
    templates: Sequence[str | Path] = (),
) -> DryRun:
    """Test whether Slurm would accept a job, without queueing it: `submit --dry-run`.

    Raises SpecError for mistakes in the spec, ClusterError if Slurm refuses.
    """
    return try_submission(prepare(make_request(job, overrides, profile, templates)))


def estimate(  # noqa: PLR0913 - the options of the command
    job: JobLike | None = None,
    *,
    overrides: Sequence[str] = (),
    profile: str | Path | None = None,
    config: str | Path | None = None,
    parameters: int | str | None = None,
    gpus: int | None = None,
    gpu_memory: int | str | None = None,
    batch: int | None = None,
    sequence: int | None = None,
    checkpointing: bool | None = None,
    eager: bool | None = None,
    precision: Literal["no", "fp16", "bf16", "fp8"] | None = None,
) -> Estimate:
    """Estimate the memory that a run needs on each GPU with every strategy, and whether it fits.

    Other values are read from `job`. `parameters` is a number or a text such as `7.5B`;
    `gpu_memory` is in bytes, or a text such as `80GB`. The estimate of a sweep is that of the
    member that needs the most. Raises SpecError if there is nothing to estimate, or the model is
    not known.
    """
    count = _parse_option("parameters", answers.parameter_count, parameters)
    memory = _parse_option("gpu_memory", units.bytes_of_size, gpu_memory)
    model = None if config is None else Path(config)
    estimate_request = answers.EstimateRequest(
        model, count, gpus, memory, batch, sequence, checkpointing, eager, precision
    )
    if job is None:
        return answers.make_estimate(estimate_request).values()
    prepared = prepare(make_request(job, overrides, profile))
    environment = prepared.request.environment
    members = [
        (member, answers.PlannedRun(loaded, prepared.work_dir, environment, prepared.script))
        for member, loaded in list_member_specs(prepared)
    ]
    if members:
        return estimate_sweep(estimate_request, members).values()
    planned = answers.PlannedRun(prepared.loaded, prepared.work_dir, environment, prepared.script)
    return answers.make_estimate(estimate_request, planned).values()


def _parse_option(
    name: str, reader: Callable[[str], Value], value: Value | str | None
) -> Value | None:
    if not isinstance(value, str):
        return value
    try:
        return reader(value)
    except ValueError as error:
        what, _, hint = str(error).partition("\n")
        raise SpecError([Problem("", name, what, hint)]) from error


def init(  # noqa: PLR0913 - the options of the command
    *,
    from_sbatch: str | Path | None = None,
    script: str | Path | None = None,
    strategy: str | None = None,
    nodes: int | str | None = None,
    gpus_per_node: int | str | None = None,
    cpus_per_task: int | str | None = None,
    mem: str | None = None,
    partition: str | None = None,
    account: str | None = None,
    qos: str | None = None,
    time: str | None = None,
    name: str | None = None,
    profile: str | Path | None = None,
    output: str | Path | None = None,
    force: bool = False,
    arguments: Sequence[str] = (),
    check: bool = True,
) -> NewSpec:
    """Write a first job spec, also from an old sbatch script, which is read, not run. Never prompt.

    `arguments` are those of the old script, as after its name in sbatch. With `check` it is proven
    that the spec starts what the script starts: SpecError names the first difference.

    `output` is the file (default: NAME.yaml); with `-` the spec is only returned. `script` is
    optional if the working folder has exactly one training script. Raises SpecError for invalid
    values, and if the file exists, unless `force` is set; ClusterError if the parser of sbatch
    scripts is not installed.
    """
    slurm = {"nodes": nodes, "gpus-per-node": gpus_per_node, "cpus-per-task": cpus_per_task}
    slurm |= {"mem": mem, "partition": partition, "account": account, "qos": qos, "time": time}
    site = None if profile is None else str(profile)
    target = new_file.Target(None if output is None else str(output), force, site)
    words = {"script": script, "strategy": strategy, "name": name}
    options = {key: str(value) for key, value in (words | slurm).items() if value is not None}
    new_file.check_names(name, options.get("script"))
    if from_sbatch is not None:
        new_file.refuse_options(options)
        return new_file.write_translation(
            str(from_sbatch), target, arguments=arguments, check=check
        )
    known = site_defaults(site)
    values = {key: options.get(key, new_file.default_option(key, known)) for key in slurm}
    file = options.get("script") or new_file.only_script(Path.cwd())
    section = new_file.slurm_section(values)
    request = SpecRequest(file, strategy or "ddp", section, name or "")
    return new_file.write_new_spec(request, target)


def schema(of: str | None = None) -> dict[str, Any]:
    """Return the JSON Schema of a job spec, or of what the command `of` prints with `--json`.

    Raises SpecError if `of` is not a command with `--json`.
    """
    return json_schema() if of is None else answer_schema(of)


def doctor(
    *,
    on_nodes: bool = False,
    timeout: float = 600.0,
    overrides: Sequence[str] = (),
    profile: str | Path | None = None,
    write_profile: str | Path | None = None,
    force: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Examination:
    """Report what this cluster allows, and what keeps runs from working.

    With `on_nodes`, a small job also checks the nodes. `timeout` is in seconds, for that job;
    `tell` receives its progress, line by line. `write_profile` is the path of a first profile to
    write, or empty for `~/.config/clusterrun/profile.yaml`. Raises SpecError if that file exists,
    unless `force` is set. A mistake in the profile is a finding, not an exception.
    """
    site = None if profile is None else str(profile)
    examination = examine(
        Request("", tuple(overrides), site),
        on_nodes=on_nodes,
        timeout=timeout,
        report_progress=tell,
    )
    if write_profile is not None:
        path = Path(write_profile).expanduser() if write_profile else own_profile(os.environ)
        put_profile(path, first_profile(examination.site, os.environ), force=force)
    return examination


def clean(
    *,
    older_than: str | float | None = None,
    state: str = "",
    keep: int | None = None,
    rehearsals: bool = False,
    checkpoints: bool = False,
    dry_run: bool = False,
) -> Cleanup:
    """Remove old runs that have ended, or with `checkpoints` only their checkpoints. Never prompt.

    `older_than` is an age such as `30d`, or seconds; `state` is one or several states with commas;
    `keep` is how many of the newest to keep. With `dry_run` nothing is removed. Raises SpecError
    without a condition, or if one is invalid; ClusterError if removing fails.
    """
    age = _parse_option("older_than", units.seconds_of_duration, older_than)
    states = _parse_option("state", cleanup_plan.parse_states, state or None) or frozenset()
    criteria = cleanup_plan.Criteria(age, states, keep, rehearsals, checkpoints)
    plan = cleanup_plan.plan_clean(criteria)
    return cleaning.as_cleanup(plan, [] if dry_run else cleaning.carry_out(plan))


def completion(shell: Literal["bash", "zsh", "fish"]) -> str:
    """Return the shell code that completes commands, options, job specs and run ids."""
    from argcomplete.shell_integration import shellcode  # noqa: PLC0415 - only this command needs it

    return str(shellcode(["clusterrun"], shell=shell))
