"""Train with Hugging Face Accelerate on Slurm: a YAML job spec becomes a run that finishes.

Each command is also a function of the same name, and `Run` is a run as an object. Nothing is
imported before it is used, so that `clusterrun --help` is as fast as `sbatch --help`.
"""

from __future__ import annotations

import importlib

# Type checkers assume that it is true; importing it from `typing` would add 6 ms to every start.
TYPE_CHECKING = False
if TYPE_CHECKING:  # the names of _PLACES; a test compares them
    # isort: off
    from clusterrun.api.runs import (
        Run as Run,
        RunLike as RunLike,
        cancel as cancel,
        checkpoints as checkpoints,
        list as list,  # noqa: A004 - the command's name
        log_lines as log_lines,
        logs as logs,
        notify as notify,
        rehearse as rehearse,
        report as report,
        requeue as requeue,
        resume as resume,
        status as status,
        stop as stop,
        submit as submit,
        wait as wait,
        why as why,
    )
    from clusterrun.api.comparisons import best as best, compare as compare, diff as diff
    from clusterrun.api.specs import (
        clean as clean,
        completion as completion,
        doctor as doctor,
        dry_run as dry_run,
        estimate as estimate,
        explain as explain,
        init as init,
        load_spec as load_spec,
        render as render,
        schema as schema,
        validate as validate,
    )
    from clusterrun.run_folder.attempts import Attempt as Attempt
    from clusterrun.run_folder.metric_values import MetricValues as MetricValues
    from clusterrun.run_status.best_member import BestMember as BestMember
    from clusterrun.reporting.comparison import ComparedRun as ComparedRun
    from clusterrun.diagnosis.answer import Why as Why
    from clusterrun.errors import (
        ClusterError as ClusterError,
        ClusterrunError as ClusterrunError,
        Problem as Problem,
        SpecError as SpecError,
    )
    from clusterrun.run_status.saved_checkpoints import SavedCheckpoint as SavedCheckpoint
    from clusterrun.run_logs.reading import LogLine as LogLine
    from clusterrun.upkeep.notification import NotificationTest as NotificationTest
    from clusterrun.planning.explanation import Origin as Origin
    from clusterrun.planning.requests import JobLike as JobLike
    from clusterrun.run_status.forecast import Outlook as Outlook
    from clusterrun.rehearsal.result import Rehearsal as Rehearsal
    from clusterrun.results import (
        CleanedItem as CleanedItem,
        Cleanup as Cleanup,
        DryRun as DryRun,
        Estimate as Estimate,
        NewSpec as NewSpec,
        StrategyEstimate as StrategyEstimate,
        ValidSpec as ValidSpec,
    )
    from clusterrun.code_record.recording import CodeRecord as CodeRecord
    from clusterrun.reporting.difference import (
        RunDifference as RunDifference,
        SpecDifference as SpecDifference,
    )
    from clusterrun.reporting.run_report import RunReport as RunReport
    from clusterrun.site_checks.examination import Examination as Examination
    from clusterrun.site_checks.finding import Finding as Finding
    from clusterrun.slurm.commands import NoAnswer as NoAnswer
    from clusterrun.slurm.states import State as State
    from clusterrun.job_spec.load import Loaded as Loaded
    from clusterrun.job_spec.model import JobSpec as JobSpec
    from clusterrun.run_status.file_status import RunStatus as RunStatus
    from clusterrun.version import __version__ as __version__
    # isort: on

# The public names by module, for `__all__`, `__getattr__` and `__dir__`.
_PLACES = {
    "api.runs": (
        "Run RunLike cancel checkpoints list log_lines logs notify rehearse "
        "report requeue resume status stop submit wait why"
    ),
    "api.specs": (
        "clean completion doctor dry_run estimate explain init load_spec render schema validate"
    ),
    "api.comparisons": "best compare diff",
    "run_folder.attempts": "Attempt",
    "run_folder.metric_values": "MetricValues",
    "run_status.best_member": "BestMember",
    "reporting.comparison": "ComparedRun",
    "diagnosis.answer": "Why",
    "errors": "ClusterError ClusterrunError Problem SpecError",
    "run_status.saved_checkpoints": "SavedCheckpoint",
    "run_logs.reading": "LogLine",
    "upkeep.notification": "NotificationTest",
    "planning.explanation": "Origin",
    "planning.requests": "JobLike",
    "run_status.forecast": "Outlook",
    "rehearsal.result": "Rehearsal",
    "results": ("CleanedItem Cleanup DryRun Estimate NewSpec StrategyEstimate ValidSpec"),
    "code_record.recording": "CodeRecord",
    "reporting.difference": "RunDifference SpecDifference",
    "reporting.run_report": "RunReport",
    "site_checks.examination": "Examination",
    "site_checks.finding": "Finding",
    "slurm.commands": "NoAnswer",
    "slurm.states": "State",
    "job_spec.load": "Loaded",
    "job_spec.model": "JobSpec",
    "run_status.file_status": "RunStatus",
    "version": "__version__",
}
_HOME = {name: module for module, names in _PLACES.items() for name in names.split()}

__all__ = sorted(_HOME)  # noqa: PLE0605 - a type checker reads the imports above


def __getattr__(name: str) -> object:
    """Import the module of a public name when the name is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'clusterrun' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"clusterrun.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> object:  # a list of str; `list` is a command here
    """Return the public names and what has been imported."""
    return sorted({*globals(), *_HOME})
