"""The code of a run in its folder."""

from __future__ import annotations

from pathlib import Path

from clusterrun.code_record.recording import dump_record, record_code
from clusterrun.planning.preparation import Prepared
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import write_whole
from clusterrun.training_script.reading import script_file


def save_code(paths: RunPaths, prepared: Prepared) -> str:
    """Write the code of a run into its folder, and return it in one line."""
    environment = prepared.request.environment
    names = prepared.loaded.spec.environment.secrets
    secrets = [environment[name] for name in names if environment.get(name)]
    record, patch = record_code(_code_folder(prepared), environment, secrets)
    write_whole(paths.code, dump_record(record))
    write_whole(paths.code_patch, patch)
    return record.in_words()


def _code_folder(prepared: Prepared) -> Path:
    """Return the folder of the training script if it exists, else the working folder."""
    spec = prepared.loaded.spec
    name = script_file(spec.script, spec.module)
    script = prepared.work_dir / name if name else None
    return script.resolve().parent if script and script.is_file() else prepared.work_dir
