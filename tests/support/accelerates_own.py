"""How the installed accelerate handles a launch command: its parser, its checks, its environment."""

from __future__ import annotations

import os
import shlex
import warnings
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from clusterrun.planning.launch import Launch
from clusterrun.quoting import quote

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils import DeepSpeedPlugin, FullyShardedDataParallelPlugin
    from accelerate.utils.launch import (
        prepare_deepspeed_cmd_env,
        prepare_multi_gpu_env,
        prepare_simple_launcher_cmd_env,
    )

PORT = "43210"


@dataclass(frozen=True)
class Taken:
    """A launch that accelerate accepted."""

    args: Namespace
    environment: Mapping[str, str]
    """The environment of the workers."""
    launcher: str
    """The launcher of accelerate that starts them; `pdsh` would leave Slurm's allocation."""

    def deepspeed(self) -> DeepSpeedPlugin:
        """The plugin that `Accelerator()` makes in a worker."""
        with self.worker():
            plugin = DeepSpeedPlugin()
            plugin.set_mixed_precision(self.environment["ACCELERATE_MIXED_PRECISION"])
            return plugin

    def fsdp(self) -> FullyShardedDataParallelPlugin:
        """The plugin that `Accelerator()` makes in a worker."""
        with self.worker():
            return FullyShardedDataParallelPlugin()

    @contextmanager
    def worker(self) -> Iterator[None]:
        """A worker's environment."""
        before = dict(os.environ)
        os.environ.update(self.environment)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def words_of(launch: Launch, node_dir: Path, nodes: int, processes: int) -> list[str]:
    """The arguments of the launch command on the last node; the config files are written."""
    for name, text in launch.files.items():
        (node_dir / name).write_text(text)
    here = {"node_dir": str(node_dir), "num_machines": str(nodes), "SLURM_NODEID": str(nodes - 1),
            "num_processes": str(processes), "main_process_ip": "127.0.0.1", "main_process_port": PORT}  # fmt: skip
    line = " ".join(quote(word) for words in launch.lines for word in words)
    return [Template(word).substitute(here) for word in shlex.split(line)]


def taken(launch: Launch, node_dir: Path, *, nodes: int = 1, processes: int | None = None) -> Taken:
    """Pass a launch to accelerate, up to the start of the workers; raises what accelerate raises."""
    words = words_of(launch, node_dir, nodes, launch.processes or processes or nodes)
    assert words[:2] == ["accelerate", "launch"]
    before = dict(os.environ)
    os.environ.update(launch.variables)
    try:
        args, defaults, from_config = _validate_launch_command(
            launch_command_parser().parse_args(words[2:])
        )
        return _prepared(args, defaults, from_config)
    finally:
        os.environ.clear()
        os.environ.update(before)


def _prepared(args: Namespace, defaults: Any, from_config: bool) -> Taken:
    """Continue as `launch_command` does, in the order of its branches."""
    if args.use_deepspeed:
        fields = [*defaults.deepspeed_config, *(["mixed_precision"] if from_config else [])]
        args.deepspeed_fields_from_accelerate_config = ",".join(fields)
        command, environment = prepare_deepspeed_cmd_env(args)
        return Taken(args, environment, "pdsh" if command else "torchrun")
    if args.use_fsdp or args.use_megatron_lm or args.multi_gpu:
        return Taken(args, prepare_multi_gpu_env(args), "torchrun")
    _, environment = prepare_simple_launcher_cmd_env(args)
    return Taken(args, environment, "one process")
