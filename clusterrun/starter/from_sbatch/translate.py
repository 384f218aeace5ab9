"""The translation of an old script to a job spec that requests and starts the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from clusterrun.errors import Problem, SpecError
from clusterrun.job_spec.placeholders import SHELL
from clusterrun.job_spec.values import NAME
from clusterrun.job_spec.yaml_text import read_scalar, typed
from clusterrun.starter.from_sbatch.argument_mapping import as_mapping
from clusterrun.starter.from_sbatch.directives import Directives, read_directives
from clusterrun.starter.from_sbatch.draft import Draft
from clusterrun.starter.from_sbatch.facts import Facts
from clusterrun.starter.from_sbatch.faults import find_faults
from clusterrun.starter.from_sbatch.mistakes import find_mistakes
from clusterrun.starter.from_sbatch.new_environment import active_python, environment_section
from clusterrun.starter.from_sbatch.notes import notes_of
from clusterrun.starter.from_sbatch.other_launchers import add_launcher_keys, carried_options
from clusterrun.starter.from_sbatch.reader import read_script
from clusterrun.starter.from_sbatch.refusals import find_refusals
from clusterrun.starter.from_sbatch.refused import TranslationRefusedError
from clusterrun.starter.from_sbatch.resource_request import ResourceRequest
from clusterrun.starter.from_sbatch.secrets import without_secrets
from clusterrun.starter.from_sbatch.sections import (
    accelerate_section,
    read_config,
    use_written_file,
)
from clusterrun.starter.from_sbatch.selected_command import (
    ReadFile,
    SelectedCommand,
    select_command,
)
from clusterrun.starter.from_sbatch.setup import setup_lines, split_setup, with_arrays
from clusterrun.starter.from_sbatch.uncounted_gpus import uses_uncounted_gpus
from clusterrun.starter.from_sbatch.words import Word

# text that a spec would take for a placeholder
_BRACES = re.compile("|".join(rf"\{{{name}\}}" for name in SHELL))
_STOPS = ("USR1", "USR2", "TERM", "INT", "HUP")


def translate(
    name: str,
    text: str,
    *,
    shell: Mapping[str, str],
    read_file: ReadFile,
    arguments: Sequence[str] = (),
) -> Draft:
    """Return the draft of a spec that does what a script does.

    `shell` is the environment of the submitting shell; `read_file` returns the text of a file that
    the script names, by its path relative to the folder of submission, or None; `arguments` are
    those of the script. Raises SpecError for a script that starts nothing, or something that a
    spec cannot express.
    """
    directives = read_directives(text)
    _refuse_heterogeneous(name, directives)
    requested = ResourceRequest(directives)
    known = requested.variables()
    if requested.text("chdir") or re.search(
        r"^\s*cd +(?!\"?\$\{?SLURM_SUBMIT_DIR\}?\"?\s*$)", text, re.MULTILINE
    ):
        known["SLURM_SUBMIT_DIR"] = shell.get("PWD", ".")
    facts = read_script(name, text, shell=shell, known=known, arguments=arguments)
    folder = facts.folder[1] if facts.folder else ""
    selected = select_command(
        facts, requested, lambda path: read_file(str(PurePosixPath(folder) / path))
    )
    if selected is None:
        hint = "pass the sbatch script that starts the training"
        raise SpecError([Problem(name, "", "no training command found", hint)])
    written = {value: name for value, name in facts.written_secrets.items() if len(value) > 5}
    refusals = find_refusals(facts, requested, selected)
    if refusals:
        draft = Draft(mistakes=find_mistakes(facts, requested, selected))
        _hide_secrets(draft, written)
        raise TranslationRefusedError(refusals, draft.mistakes)
    selected = _add_default_config(selected, shell, read_file)
    draft = Draft(command_line=selected.started.line_of_words)
    _Translator(draft, facts, requested, selected, shell).fill(read_file)
    draft.mistakes = find_mistakes(facts, requested, selected)
    draft.notes = notes_of(facts, requested, selected, draft)
    problems = find_faults(draft, name, shell)
    _hide_secrets(draft, written)
    if problems:
        raise TranslationRefusedError(problems, draft.mistakes)
    return draft


def _refuse_heterogeneous(name: str, directives: Directives) -> None:
    for line, word in directives.unread:
        if word in ("hetjob", "packjob"):
            what, hint = (
                "heterogeneous job; the nodes of a run must be equal",
                "use a script with one of its components",
            )
            raise SpecError([Problem(f"{name}:{line}", "", what, hint)])


def _hide_secrets(draft: Draft, known: dict[str, str]) -> None:
    """Replace any secret that is still in the draft, wherever it came from."""

    def hide(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: hide(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [*map(hide, value)]
        return without_secrets(value, known) if isinstance(value, str) else value

    draft.values = hide(draft.values)
    draft.mistakes = [
        replace(one, message=hide(one.message), hint=hide(one.hint)) for one in draft.mistakes
    ]
    draft.notes = [replace(one, message=hide(one.message)) for one in draft.notes]


def _add_default_config(
    selected: SelectedCommand, shell: Mapping[str, str], read_file: ReadFile
) -> SelectedCommand:
    """Add the config file that `accelerate launch` reads by default (commands/config of 1.15)."""
    if selected.parsed.kind != "accelerate" or "config_file" in selected.parsed.flags:
        return selected
    cache = shell.get("XDG_CACHE_HOME") or f"{shell.get('HOME', '')}/.cache"
    path = f"{shell.get('HF_HOME') or f'{cache}/huggingface'}/accelerate/default_config.yaml"
    if read_file(path) is None:
        return selected
    flags = {**selected.parsed.flags, "config_file": Word((path,), selected.started.line)}
    return replace(selected, parsed=replace(selected.parsed, flags=flags))


class _Translator:
    """Fills a draft, section by section."""

    def __init__(
        self,
        draft: Draft,
        facts: Facts,
        requested: ResourceRequest,
        selected: SelectedCommand,
        shell: Mapping[str, str],
    ) -> None:
        self.draft, self.facts, self.requested, self.selected, self.shell = (
            draft,
            facts,
            requested,
            selected,
            shell,
        )
        self.values = draft.values

    def fill(self, read_file: ReadFile) -> None:
        self.values["name"] = self._run_name()
        self._translate_command()
        self.values["slurm"] = self._slurm_section()
        self._translate_accelerate(read_file)
        self._translate_environment()
        if "no-requeue" in self.requested.directives.options:
            self.values["requeue"] = {"on": []}
            self._add_comment("from --no-requeue: never restarted", "requeue", "on")
        self._translate_signal()

    def _add_comment(self, text: str, *path: str | int) -> None:
        self.draft.comments[path] = text

    def _run_name(self) -> str:
        job_name = (
            self.requested.text("job-name") or PurePosixPath(self.facts.name).name.partition(".")[0]
        )
        job_name = re.sub(r"[-_.]*%\d*[A-Za-z]", "", job_name)  # a pattern of file names
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", job_name).strip("-._")[:64]
        return name if NAME.fullmatch(name) else "run"

    def _translate_command(self) -> None:
        selected = self.selected
        if not selected.launched:
            text = with_arrays(self.facts, selected)
            text = without_secrets(text, self.facts.written_secrets, flags=True)
            alone = selected.started.srun is None and self.requested.nodes > 1
            self.values["command"] = (
                f'if [ "$SLURM_NODEID" -eq 0 ]; then\n{text}\nfi' if alone else text
            )
            return
        target = selected.parsed.target
        if selected.launcher != "accelerate":
            self.values["launcher"] = selected.launcher
        self.values[selected.form] = target.text.removeprefix("./") if target is not None else ""
        words = [_BRACES.sub(r"{\g<0>}", word.text) for word in selected.arguments]
        if words:
            self.values["args"] = as_mapping(words) or [typed(word) for word in words]
        if selected.launcher != "accelerate":
            left = add_launcher_keys(self.draft, self.facts, self.requested, selected)
            self._note_left_flags(left)

    def _slurm_section(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        per_task = self.selected.launcher == "srun"
        for name, value in self.requested.section(per_task=per_task).items():
            found[name] = typed(value)
        if self.facts.folder:
            found["chdir"] = str(PurePosixPath(self.requested.text("chdir")) / self.facts.folder[1])
        extra = self.requested.newer()
        if extra:
            found["additional_parameters"] = extra
        tasks = self.requested.tasks_a_node
        if tasks > 1 and "cpus-per-task" in found and not per_task:
            each = self.requested.number("cpus-per-task") or 1
            self._add_comment(
                f"before: {tasks} tasks of {each}; now one task per node", "slurm", "cpus-per-task"
            )
        return found

    def _translate_accelerate(self, read_file: ReadFile) -> None:
        selected = self.selected
        if options := carried_options(selected):
            self.values["srun_options"] = {**options}
        if selected.launcher != "accelerate":
            return
        path = selected.parsed.value("config_file")
        written = use_written_file(self.facts, path)
        text = written if written is not None else read_file(path) if path else None
        config = read_config(text) if text is not None else None
        section, left = accelerate_section(
            selected.parsed, config, written=written is not None and config is not None
        )
        unchanged = (
            "config_file" in section
        )  # accelerate also reads its number of processes from it
        count = self._count_processes({} if unchanged else config or {})
        section |= {"num_processes": count} if count else {}
        if not unchanged and uses_uncounted_gpus(self.facts, self.requested, selected):
            section.setdefault("use_cpu", False)
            self._add_comment("the script uses GPUs, and requests none", "accelerate", "use_cpu")
        steps = selected.parsed.value("gradient_accumulation_steps")
        if steps and "deepspeed_config" in section:
            section["gradient_accumulation_steps"] = read_scalar(steps)
        if section:
            self.values["accelerate"] = section
        self._note_left_flags(left, " together with config_file" if path else "")

    def _note_left_flags(self, flags: Sequence[str], why: str = "") -> None:
        for flag in flags:
            what = f"--{flag} not translated: the spec has no key for it{why}"
            where = f"{self.facts.name}:{self.selected.started.line}"
            self.draft.notes.append(Problem(where, "", what))

    def _count_processes(self, config: Mapping[str, Any]) -> int:
        """Return the total number of processes; 0 if it follows from GPUs or a config file."""
        nodes, parsed = self.requested.nodes, self.selected.parsed
        if self.requested.gpus_a_node:
            return 0
        total = parsed.value("num_processes") or ""
        each = parsed.value("nproc_per_node", "num_gpus") or ""
        if total.isdigit() and int(total):
            return int(total) if int(total) % nodes == 0 else nodes * int(total)
        if each.isdigit():
            return int(each) * nodes
        if "config_file" in parsed.flags:
            total_processes, machines = config.get("num_processes"), config.get("num_machines") or 1
            return (
                max(1, total_processes // machines) * nodes
                if isinstance(total_processes, int)
                else 0
            )
        return nodes * (self.requested.tasks_a_node if parsed.kind == "python" else 1)

    def _translate_environment(self) -> None:
        first, setup = split_setup(setup_lines(self.facts, self.selected))
        section, inherited = environment_section(
            self.facts, self.requested, self.selected, first, setup, self.shell
        )
        self.values["environment"] = section
        for key, name in active_python(self.shell).items():
            if section.get(key) == name and not self.facts.venv and not self.facts.conda:
                self._add_comment("the active environment of your shell", "environment", key)
        for key, lines in (("setup_first", first), ("setup", setup)):
            for number, kept in enumerate(lines):
                self._add_comment(f"line {kept.line}", "environment", key, number)
        for name in inherited:
            self._add_comment("from your shell", "environment", "variables", name)

    def _translate_signal(self) -> None:
        name, _, batch = self.requested.signal
        if name in _STOPS and not batch:
            self.values["checkpoint"] = {"signal": name}
            self._add_comment("from --signal; the script receives it", "checkpoint", "signal")
