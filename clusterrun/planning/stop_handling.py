"""Whether a training can handle a stop request, as far as the text of its script shows."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from clusterrun.job_spec import Loaded
from clusterrun.training_script import TrainingScript
from clusterrun.training_script.reading import read_script_text, script_file

_STOP_FILE = "CLUSTERRUN_STOP_FILE"
_LIBRARY = "clusterrun.training"
_MAX_FILES = 100


def reads_stop_file(loaded: Loaded, work_dir: Path, script: TrainingScript | None) -> bool:
    """Return whether the training looks for the stop file, itself or by clusterrun.training.

    The texts are the command, the files that it names, the script, and the files next to the script
    that it imports.
    """
    texts = _training_texts(loaded, work_dir, script)
    return any(_STOP_FILE in text or _LIBRARY in text for text in texts)


def _training_texts(loaded: Loaded, work_dir: Path, script: TrainingScript | None) -> Iterator[str]:
    command = loaded.spec.command
    if command is not None:
        yield command
        yield from _file_texts(work_dir / word for word in _words(command))
    if script is None:
        return
    yield script.text
    folder = (work_dir / script_file(loaded.spec.script, loaded.spec.module)).parent
    names = sorted(script.imported_names)[: _MAX_FILES // 2]
    yield from _file_texts(folder / file for name in names for file in _module_files(name))


def _module_files(name: str) -> Iterator[str]:
    """Yield the files of a module, which may also be a name in the module above it."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        yield "/".join(parts[:length]) + ".py"


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command, comments=True)
    except ValueError:  # it is reported as a bash syntax error
        return command.split()


def _file_texts(files: Iterator[Path]) -> Iterator[str]:
    for number, file in enumerate(files):
        if number >= _MAX_FILES:
            return
        text = read_script_text(file)
        if text is not None:
            yield text
