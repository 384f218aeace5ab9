"""What the installed libraries know, from their source, because an import takes 1.5 s."""

from __future__ import annotations

import ast
import importlib.util
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from clusterrun.files.reading import is_folder
from clusterrun.planning.strategy.accelerate_keys import STORED_KEYS, AccelerateKeys


def read_accelerate_keys(environment: Path | None) -> AccelerateKeys:
    """Return the keys of an environment's accelerate, else of this Python's, else the stored ones.

    `environment` is the folder of a virtual or conda environment.
    """
    for folder in _find_folders("accelerate", environment):
        try:
            return _read_keys(folder)
        except (OSError, SyntaxError, ValueError):  # a version with another layout
            return STORED_KEYS
    return STORED_KEYS


def has_training_argument(environment: Path | None, name: str) -> bool:
    """Return whether TrainingArguments of an environment, or of this Python, has an argument.

    False without transformers.
    """
    for folder in _find_folders("transformers", environment):
        try:
            source = (folder / "training_args.py").read_text(encoding="utf-8")
        except (OSError, ValueError):
            return False
        return re.search(rf"^    {re.escape(name)}\s*:", source, re.MULTILINE) is not None
    return False


_CLASS_FILES = {
    "transformers": ("training_args.py", "training_args_seq2seq.py"),
    "trl": ("trainer/*_config.py",),
}


def find_arguments_class(environment: Path, full_name: str) -> list[ast.ClassDef] | None:
    """Return a library's dataclass, such as `transformers.TrainingArguments`, and its bases.

    None if one of them is not found in the environment.
    """
    package, name = full_name.partition(".")[0], full_name.rpartition(".")[2]
    for pattern in _CLASS_FILES.get(package, ()):
        for path in sorted(environment.glob(f"lib/python3*/site-packages/{package}/{pattern}")):
            found = _find_class_in(path, name)
            if found is not None:
                bases = [_find_base(environment, package, base) for base in found.bases]
                known = [classes for classes in bases if classes is not None]
                return [found, *itertools.chain(*known)] if len(known) == len(bases) else None
    return None


def _find_base(environment: Path, package: str, base: ast.expr) -> list[ast.ClassDef] | None:
    name = ast.unparse(base).rpartition(".")[2]
    here = find_arguments_class(environment, f"{package}.{name}")
    return here or find_arguments_class(environment, f"transformers.{name}")


def _find_class_in(path: Path, name: str) -> ast.ClassDef | None:
    try:
        text = path.read_text(encoding="utf-8")
        if f"class {name}" not in text:
            return None
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return None
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    return next((node for node in classes if node.name == name), None)


def _find_folders(package: str, environment: Path | None) -> Iterator[Path]:
    if environment is not None and is_folder(environment):
        yield from environment.glob(f"lib/python3*/site-packages/{package}")
    here = importlib.util.find_spec(package)  # a top-level name, so nothing is imported
    yield from (Path(place) for place in (here.submodule_search_locations or [] if here else []))


def _read_keys(accelerate: Path) -> AccelerateKeys:
    config = ast.parse(
        (accelerate / "commands" / "config" / "config_args.py").read_text(encoding="utf-8")
    )
    launch = ast.parse((accelerate / "commands" / "launch.py").read_text(encoding="utf-8"))
    keys = AccelerateKeys(frozenset(_config_fields(config)), frozenset(_launch_flags(launch)))
    if not {"distributed_type", "num_processes"} <= keys.config or "zero_stage" not in keys.flags:
        raise ValueError("not the expected files of accelerate")
    return keys


def _config_fields(tree: ast.Module) -> Iterator[str]:
    """Yield the fields of a config file's dataclasses (commands/config/config_args.py)."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name in ("BaseConfig", "ClusterConfig"):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    yield field.target.id


def _launch_flags(tree: ast.Module) -> Iterator[str]:
    """Yield the names of `add_argument("--name", ...)`."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "add_argument"
        ):
            for word in node.args:
                if isinstance(word, ast.Constant) and str(word.value).startswith("--"):
                    yield str(word.value)[2:]
