"""Checks of a spec's strategy, before the job is queued."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from clusterrun.errors import Problem
from clusterrun.job_spec import JobSpec, Loaded
from clusterrun.job_spec.arguments import arguments_of
from clusterrun.job_spec.load import expand_user
from clusterrun.job_spec.yaml_text import KeyPath, dotted
from clusterrun.planning.accelerate_config import deepspeed_json_path, overridden_keys
from clusterrun.planning.launch import (
    Configs,
    Launch,
    make_launch,
    requests_gpus,
)
from clusterrun.planning.strategy.accelerate_keys import SECTIONS
from clusterrun.planning.strategy.arguments import check_accumulation, check_arguments
from clusterrun.planning.strategy.batch import Batch
from clusterrun.planning.strategy.config import check_config
from clusterrun.planning.strategy.config_values import ConfigValues, number, quoted_number
from clusterrun.planning.strategy.deepspeed import SECTION, check_deepspeed
from clusterrun.planning.strategy.deepspeed_json import accumulation_of, check_json
from clusterrun.planning.strategy.files import ConfigFile, read_accelerate, read_deepspeed
from clusterrun.planning.strategy.fsdp import check_fsdp
from clusterrun.planning.strategy.installed import has_training_argument, read_accelerate_keys
from clusterrun.planning.strategy.keys import check_keys
from clusterrun.planning.strategy.machines import (
    ON_CPUS,
    Machines,
    check_requested,
    machines_of,
)
from clusterrun.planning.strategy.precision import check_precision
from clusterrun.planning.strategy.training import Training, script_defaults, training_of
from clusterrun.training_script import TrainingScript
from clusterrun.training_script.call_warnings import call_warnings


@dataclass
class Findings:
    """The results: the launch, the batch of a step, mistakes, and notes for the user."""

    launch: Launch
    """The launch, with the texts of the config files that the spec names."""
    batch: Batch = field(default_factory=lambda: Batch(None, None, None))
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Read:
    """The contents of a spec's files."""

    whole: ConfigValues
    """The spec."""
    words: ConfigValues
    """Accelerate's keys, in the spec or in the config file that it names."""
    config: ConfigFile | None
    deepspeed: ConfigFile | None
    """The JSON that accelerate reads."""
    trainers: ConfigFile | None
    """The JSON that a Trainer reads."""
    script: TrainingScript | None

    @property
    def files(self) -> list[ConfigValues]:
        """All files that can have mistakes."""
        return [
            self.whole,
            self.words,
            *(file.values for file in (self.deepspeed, self.trainers) if file),
        ]


def check(loaded: Loaded, work_dir: Path, script: TrainingScript | None) -> Findings:
    """Check the strategy of a spec, the config files that it names, and its script."""
    spec, gpus_requested = loaded.spec, requests_gpus(loaded.spec.slurm)
    if spec.command is not None:
        return Findings(make_launch(spec, Configs(), gpus_requested=gpus_requested))
    problems: list[Problem] = []
    read = _read(loaded, work_dir, script, problems)
    configs = Configs(_text(read.config), _text(read.deepspeed))
    findings = Findings(
        make_launch(spec, configs, gpus_requested=gpus_requested), problems=problems
    )
    training = training_of(spec, read.script)
    machines = machines_of(
        spec.slurm, gpus_requested=gpus_requested, processes=findings.launch.processes
    )
    _check_words(read.words, machines, training)
    if read.config is not None:
        check_config(read.words, machines)
        findings.notes.extend(_unchanged(str(spec.accelerate.config_file), read))
    _check_keys(read, loaded, work_dir)
    still_taken = partial(has_training_argument, environment_folder(loaded, work_dir))
    check_arguments(read.whole, spec, read.script, still_taken)
    check_accumulation(read.whole, read.script, training)
    _check_jsons(read, machines, training)
    findings.notes.extend(_warnings(read))
    if findings.launch.cpu_by_default:
        where = loaded.line_of("slurm")
        findings.notes.append(f"{where}: slurm: {ON_CPUS}")
    findings.batch = _batch(read, machines, training, spec)
    findings.problems.extend(problem for values in read.files for problem in values.problems)
    findings.notes.extend(note for values in read.files for note in values.notes)
    return findings


def check_names(loaded: Loaded, work_dir: Path, script: TrainingScript | None) -> list[Problem]:
    """Check only a spec's keys of accelerate, and whether its config files can be read."""
    if loaded.spec.command is not None:
        return []
    problems: list[Problem] = []
    read = _read(loaded, work_dir, script, problems)
    _check_keys(read, loaded, work_dir)
    return [*problems, *read.words.problems]


def _check_keys(read: _Read, loaded: Loaded, work_dir: Path) -> None:
    if read.words.tree.keys() & SECTIONS.keys() or read.config is not None:
        check_keys(read.words, read_accelerate_keys(environment_folder(loaded, work_dir)))


def _text(file: ConfigFile | None) -> str | None:
    return file.text if file else None


def _read(
    loaded: Loaded, work_dir: Path, script: TrainingScript | None, problems: list[Problem]
) -> _Read:
    whole = ConfigValues(loaded.spec.model_dump(exclude_none=True), loaded.layers.line_of)
    config = _config_file(loaded, work_dir, problems)
    words = (
        config.values
        if config
        else ConfigValues(whole.section("accelerate"), whole.line_of, ("accelerate",))
    )
    deepspeed = _deepspeed_file(work_dir, words, problems)
    trainers = _trainers_json(arguments_of(loaded.spec), whole, script, work_dir, problems)
    return _Read(whole, words, config, deepspeed, trainers, script)


_TYPES = {SECTION: "DEEPSPEED", "fsdp_config": "FSDP", "megatron_lm_config": "MEGATRON_LM"}


def _check_words(values: ConfigValues, machines: Machines, training: Training) -> None:
    check_precision(values, machines)
    check_requested(values, machines)
    kind = values.get("distributed_type")
    for name, own in _TYPES.items():
        if kind not in (None, own) and values.section(name):
            values.add_problem(
                [name],
                f"accelerate ignores it with distributed_type {kind}",
                f"write distributed_type: {own}",
            )
    if kind == "DEEPSPEED" or (kind is None and values.section(SECTION)):
        check_deepspeed(values, machines, training)
    if kind == "FSDP" or (kind is None and values.section("fsdp_config")):
        check_fsdp(values, machines)


def _check_jsons(read: _Read, machines: Machines, training: Training) -> None:
    if read.deepspeed is not None:
        precision = read.words.get("mixed_precision") or training.precision
        check_json(
            read.deepspeed.values,
            machines,
            training,
            str(precision or ("?" if _decides(read.script) else "")),
        )
    if read.trainers is not None:
        check_json(read.trainers.values, machines, training, training.precision or "?")


def _config_file(loaded: Loaded, work_dir: Path, problems: list[Problem]) -> ConfigFile | None:
    name = loaded.spec.accelerate.config_file
    if name is None:
        return None
    add_problem = _problem_recorder(problems, loaded.layers.line_of, ("accelerate", "config_file"))
    return read_accelerate(work_dir / expand_user(name), name, add_problem)


def _deepspeed_file(
    work_dir: Path, strategy: ConfigValues, problems: list[Problem]
) -> ConfigFile | None:
    """Read the JSON that the spec, or its accelerate config, names, from the working folder."""
    name = deepspeed_json_path(strategy.section(SECTION))
    if name is None:
        return None
    place = (*strategy.prefix, SECTION, "deepspeed_config_file")
    return read_deepspeed(
        work_dir / expand_user(name), name, _problem_recorder(problems, strategy.line_of, place)
    )


def _trainers_json(
    arguments: Mapping[str, object],
    whole: ConfigValues,
    script: TrainingScript | None,
    work_dir: Path,
    problems: list[Problem],
) -> ConfigFile | None:
    """Read the JSON that a Trainer's argument `--deepspeed` names."""
    name = arguments.get("deepspeed")
    if (
        script is None
        or not script.uses_trainer
        or not isinstance(name, str)
        or not name.endswith(".json")
    ):
        return None
    return read_deepspeed(
        work_dir / expand_user(name),
        name,
        _problem_recorder(problems, whole.line_of, ("args", "deepspeed")),
    )


def _problem_recorder(
    problems: list[Problem], line_of: Callable[[KeyPath], str], place: KeyPath
) -> Callable[[str, str], None]:
    return lambda what, hint: problems.append(Problem(line_of(place), dotted(place), what, hint))


def _unchanged(name: str, read: _Read) -> list[str]:
    embedded = ["deepspeed_config_file (in the job script)"] if read.deepspeed else []
    names = [*overridden_keys(_text(read.config) or ""), *embedded]
    return [f"{name} is used unchanged, except {', '.join(names)}"] if names else []


def environment_folder(loaded: Loaded, work_dir: Path) -> Path | None:
    """Return the folder of the run's Python environment; None if the spec names none."""
    own = loaded.spec.environment
    name = own.venv or own.conda or (f"{own.uv}/.venv" if own.uv else None)
    return work_dir / name if name and "\0" not in name else None


def _warnings(read: _Read) -> list[str]:
    if read.script is None:
        return []
    json = read.deepspeed.values if read.deepspeed else None
    stage = (
        json.get("zero_optimization", "stage") if json else read.words.get(SECTION, "zero_stage")
    )
    return call_warnings(
        read.script,
        zero3=quoted_number(stage) == 3,
        optimizer_in_json=bool(json and json.get("optimizer")),
    )


def _decides(script: TrainingScript | None) -> bool:
    """Return whether the script may set the precision: it is not known, or mentions it."""
    return script is None or script.uses_trainer or script.mentions("mixed_precision")


def _batch(read: _Read, machines: Machines, training: Training, spec: JobSpec) -> Batch:
    micro, steps = training.micro_batch, training.accumulation
    if read.deepspeed is not None:
        micro = number(read.deepspeed.values.get("train_micro_batch_size_per_gpu")) or micro
        steps = accumulation_of(read.deepspeed.values, training)
    elif training.steps is None and not training.trainer:
        steps = quoted_number(read.words.get(SECTION, "gradient_accumulation_steps")) or steps
    own_micro, own_steps = script_defaults(read.script, spec)
    return Batch(
        micro or own_micro, machines.processes, steps or own_steps, by_default=micro is None
    )
