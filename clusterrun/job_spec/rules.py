"""What fields of a spec mean together: rules that no single value can break."""

from __future__ import annotations

import re
from typing import Any

from clusterrun.job_spec import gpus, grammar, options
from clusterrun.job_spec.checkpoint import RUN_DIR
from clusterrun.job_spec.gpu_rules import check_gpus
from clusterrun.job_spec.layers import COMPUTED, Layers
from clusterrun.job_spec.values import read_argument, read_line

_WHAT_RUNS = ("script", "module", "command")
_BESIDE_CONFIG_FILE = {
    "config_file",
    "num_processes",
    "gradient_accumulation_steps",
    "num_cpu_threads_per_process",
    "tee",
}
_FLAG = re.compile(r"-{0,2}[A-Za-z0-9_][A-Za-z0-9_.:/+-]*")
_OPTION = re.compile(r"[a-z][a-z0-9-]*")
_MEMORIES = ("mem", "mem_per_cpu", "mem_per_gpu")
_STRATEGIES = ("deepspeed_config", "fsdp_config", "megatron_lm_config")


def check_together(layers: Layers) -> None:
    """Note every rule between fields that the merged values break."""
    values = layers.values
    _defaults_give_way(layers, values)
    _one_thing_runs(layers, values)
    _slurm_options(layers, values.get("slurm") or {}, launcher=values.get("command") is None)
    _accelerate_words(layers, values.get("accelerate") or {}, command="command" in values)
    _process_count(layers, values)
    check_gpus(layers, values.get("slurm") or {})
    _range_divides(layers, values)
    _shrinks(layers, values)
    _one_environment(layers, values.get("environment") or {})
    _own_checkpoints(layers, values)
    _arrays_requeue(layers, values)
    _notices(layers, values)
    _arguments(layers, values)


def _defaults_give_way(layers: Layers, values: dict[str, Any]) -> None:
    """Drop the profile's values of fields that exclude those that the spec sets."""
    accelerate = values.get("accelerate") or {}
    if values.get("command") is not None:
        layers.drop_defaults("accelerate", [*accelerate])
        layers.drop_defaults("checkpoint", ["resume"])
    elif ("accelerate", "config_file") not in layers.defaults and accelerate.get(
        "config_file"
    ) is not None:
        layers.drop_defaults("accelerate", {*accelerate} - _BESIDE_CONFIG_FILE)
    elif {("accelerate", key) for key in {*accelerate} - _BESIDE_CONFIG_FILE} - layers.defaults:
        layers.drop_defaults("accelerate", ["config_file"])
    own = (values.get("checkpoint") or {}).get("path") is not None
    layers.drop_defaults("checkpoint", ["async_save"] if own else ["resume"])
    for section, keys in (
        ("accelerate", _STRATEGIES),
        ("slurm", _MEMORIES),
        ("environment", ("venv", "conda")),
    ):
        given = [key for key in keys if (values.get(section) or {}).get(key) is not None]
        if {(section, key) for key in given} - layers.defaults:
            layers.drop_defaults(section, given)


def _arrays_requeue(layers: Layers, values: dict[str, Any]) -> None:
    array = (values.get("slurm") or {}).get("array")
    if array is not None and (values.get("requeue") or {}).get("by") == "successor":
        what = "stands beside slurm.array; a job queued for one task would not be of the array"
        layers.fault(
            ("requeue", "by"), what, "leave it out: the tasks of an array go on by requeue"
        )


def _notices(layers: Layers, values: dict[str, Any]) -> None:
    """A notice has one way to go, and the address of a webhook is handed over as a secret."""
    environment = values.get("environment") or {}
    secrets = environment.get("secrets") or () if isinstance(environment, dict) else ()
    notices = values.get("notify") or ()
    for number, notice in enumerate(notices if isinstance(notices, (list, tuple)) else ()):
        to = notice.get("to") if isinstance(notice, dict) else None
        if not isinstance(to, dict):
            continue
        ways = [way for way in ("mail", "webhook") if to.get(way) is not None]
        if len(ways) != 1:
            what = "has both mail and webhook" if ways else "has neither mail nor webhook"
            layers.fault(
                ("notify", number, "to"),
                what,
                "one notice has one way to go; a list takes several notices",
            )
        elif ways == ["mail"] and "shape" in to:
            layers.fault(("notify", number, "to", "shape"), "is of webhooks", "leave it out")
        elif ways == ["webhook"] and to["webhook"] not in secrets:
            what = f"{str(to['webhook'])[:80]} is not among environment.secrets"
            hint = (
                "give the name of a variable there and here; its value, the address, stands in no "
                "file"
            )
            layers.fault(("notify", number, "to", "webhook"), what, hint)


def _one_thing_runs(layers: Layers, values: dict[str, Any]) -> None:
    given = [name for name in _WHAT_RUNS if values.get(name) is not None]
    misspelt = {f"did you mean {name}?" for name in _WHAT_RUNS} & {
        problem.hint for problem in layers.problems
    }
    if not given and not misspelt:
        layers.fault((), "nothing to run", "give script: train.py, or module:, or command:")
    for extra in given[1:]:
        layers.fault((extra,), f"stands beside {given[0]}; a run has one of them", "keep one")
    if given == ["command"] and values.get("args"):
        layers.fault(("args",), "a command is run as written", "write the arguments into it")


def _slurm_options(layers: Layers, slurm: dict[str, Any], *, launcher: bool) -> None:
    for key in [*slurm]:
        option = key.replace("_", "-")
        reason, hint = options.reason_refused(option, launcher=launcher)
        if reason:
            layers.fault(("slurm", key), f"not taken: {reason}", hint)
            del slurm[key]
    extra = slurm.get("additional_parameters")
    for option in extra if isinstance(extra, dict) else {}:
        _additional(layers, str(option), launcher=launcher)
    memories = [key for key in _MEMORIES if slurm.get(key) is not None]
    for key in memories[1:]:
        layers.fault(
            ("slurm", key), "sbatch takes one of mem, mem-per-cpu and mem-per-gpu", "keep one"
        )


def _additional(layers: Layers, option: str, *, launcher: bool) -> None:
    path = ("slurm", "additional_parameters", option)
    name = option.replace("_", "-").lower()
    reason, hint = options.reason_refused(name, launcher=launcher)
    if reason:
        layers.fault(path, f"not taken: {reason}", hint)
    elif name in options.KNOWN or name == "chdir":
        layers.fault(path, "known: it belongs directly under slurm")
    elif not _OPTION.fullmatch(name):
        layers.fault(path, "not the long name of an sbatch option")
    elif whole := options.complete_prefix(name):
        layers.fault(path, f"sbatch would read it as {whole}", "write whole names")


def _accelerate_words(layers: Layers, accelerate: dict[str, Any], *, command: bool) -> None:
    for key, reason in COMPUTED.items():
        if key in accelerate:
            layers.fault(
                ("accelerate", key),
                f"the job script sets it: {reason}",
                "delete it; a whole config file is used as it is by accelerate.config_file",
            )
            del accelerate[key]
    if isinstance(accelerate.get("deepspeed_config"), str):
        path = accelerate.pop("deepspeed_config")
        layers.fault(
            ("accelerate", "deepspeed_config"),
            f"must be a mapping, got {path!r}",
            f"deepspeed_config: {{deepspeed_config_file: {path}}}",
        )
    if command and accelerate:
        layers.fault(
            ("accelerate",),
            "a command is run without accelerate",
            "use script or module, or delete this",
        )
    if accelerate.get("config_file") is not None:
        for key in sorted(set(accelerate) - _BESIDE_CONFIG_FILE):
            layers.fault(
                ("accelerate", key),
                "stands beside config_file, which is used unchanged",
                "write it into that file, or drop config_file",
            )
    given = [key for key in _STRATEGIES if accelerate.get(key) is not None]
    for key in given[1:]:
        layers.fault(
            ("accelerate", key), f"stands beside {given[0]}; one strategy trains a run", "keep one"
        )


def _process_count(layers: Layers, values: dict[str, Any]) -> None:
    """Note a total that the nodes cannot share: each gets num_processes // num_machines."""
    processes = (values.get("accelerate") or {}).get("num_processes")
    slurm = values.get("slurm") or {}
    nodes = _whole(slurm.get("nodes", 1))
    if not isinstance(processes, int) or isinstance(processes, bool) or not nodes:
        return
    gpus = _gpus_of_node(slurm)
    if gpus and processes != gpus * nodes and not (values.get("accelerate") or {}).get("use_cpu"):
        layers.fault(
            ("accelerate", "num_processes"),
            f"{processes} processes, but {nodes} x {gpus} GPUs are asked for",
            "delete it: processes are counted from the GPUs that Slurm gives",
        )
    elif processes % nodes:
        layers.fault(
            ("accelerate", "num_processes"),
            f"{processes} processes do not divide over {nodes} nodes",
            f"it counts all processes; {processes // nodes * nodes or nodes} would do",
        )


def _range_divides(layers: Layers, values: dict[str, Any]) -> None:
    """Of what Slurm gives, as many nodes train as share a step equally; those must be enough."""
    text, shrunk = (
        str((values.get("slurm") or {}).get("nodes", 1)),
        (values.get("requeue") or {}).get("shrink_to"),
    )
    steps = (values.get("accelerate") or {}).get("gradient_accumulation_steps") or 1
    most, least = _whole(text), _whole(shrunk or text.partition("-")[0])
    if least in (0, most) or values.get("command") is not None or not isinstance(steps, int):
        return
    if most * steps % least:
        would = [str(one) for one in range(1, most + 1) if most * steps % one == 0]
        what = f"{most * steps} batches a node cannot be shared out equally among {least} nodes"
        path, hint = (
            (("requeue", "shrink_to"), "write")
            if shrunk
            else (("slurm", "nodes"), "begin the range with")
        )
        layers.fault(path, what, f"{hint} a number out of {', '.join(would)}")


def _shrinks(layers: Layers, values: dict[str, Any]) -> None:
    """A smaller job is another one, with the options of the first but for its number of nodes."""
    requeue, slurm = values.get("requeue") or {}, values.get("slurm") or {}
    shrunk, place = requeue.get("shrink_to"), ("requeue", "shrink_to")
    if not isinstance(shrunk, int):
        return
    least = _whole(str(slurm.get("nodes", 1)).partition("-")[0])
    if least and shrunk >= least:
        layers.fault(
            place,
            f"{shrunk} is not less than slurm.nodes, {slurm.get('nodes', 1)}",
            "ask for fewer nodes",
        )
    if requeue.get("by") == "requeue":
        layers.fault(
            place, "asks for less as another job, and requeue.by is requeue", "leave requeue.by out"
        )
    refused = {
        "array": "the tasks of an array go on by requeue",
        "gpus": "it counts all nodes: use gpus-per-node",
        "nodelist": "a job of fewer nodes would ask for these all the same",
    }
    for key, why in refused.items():
        if slurm.get(key) is not None:
            layers.fault(place, f"beside slurm.{key}", why)
    if "singleton" in str(slurm.get("dependency") or ""):
        layers.fault(
            place,
            "beside slurm.dependency: singleton",
            "the smaller job would wait for the first one",
        )


def _gpus_of_node(slurm: dict[str, Any]) -> int:
    try:
        return gpus.count_per_node(slurm, _whole(slurm.get("nodes", 1)) or 1)
    except ValueError:
        return 0


def _whole(value: Any) -> int:
    try:
        return grammar.most_nodes(grammar.check_nodes(str(value)))
    except ValueError:
        return 0


def _one_environment(layers: Layers, environment: dict[str, Any]) -> None:
    if environment.get("venv") is not None and environment.get("conda") is not None:
        layers.fault(
            ("environment", "conda"), "stands beside venv; a shell has one Python", "keep one"
        )
    variables = environment.get("variables")
    secrets = environment.get("secrets")
    if isinstance(variables, dict) and isinstance(secrets, list):
        for index, name in enumerate(secrets):
            if isinstance(name, str) and name in variables:
                layers.fault(
                    ("environment", "secrets", index),
                    f"{name} stands in variables, too",
                    "delete it there",
                )


def _own_checkpoints(layers: Layers, values: dict[str, Any]) -> None:
    """Check what is said of checkpoints that `clusterrun.training` does not make."""
    checkpoint = values.get("checkpoint") or {}
    path, resume = checkpoint.get("path"), checkpoint.get("resume")
    if resume is not None and path is None:
        layers.fault(
            ("checkpoint", "resume"),
            "there is no checkpoint.path to say where checkpoints lie",
            "say path: out/checkpoint-*; with clusterrun.training leave both out",
        )
    elif resume and values.get("command") is not None:
        layers.fault(
            ("checkpoint", "resume"),
            "a command is run as written, and nothing is appended to it",
            'write "$CLUSTERRUN_CHECKPOINT" into it: the newest one, empty before the first',
        )
    if path is not None and checkpoint.get("async_save"):
        layers.fault(
            ("checkpoint", "async_save"),
            "checkpoint.path says that the script saves by itself",
            "leave one of the two out",
        )
    if (
        path is not None
        and (values.get("slurm") or {}).get("array") is not None
        and RUN_DIR not in str(path)
    ):
        layers.fault(
            ("checkpoint", "path"),
            "the tasks of slurm.array would go on from each other's checkpoints",
            f"{RUN_DIR} is each task's own folder, CLUSTERRUN_RUN_DIR to the script",
        )


def _arguments(layers: Layers, values: dict[str, Any]) -> None:
    """Check each argument at its own line, and keep numbers as they were written."""
    args = values.get("args")
    if not isinstance(args, (dict, list)):
        return
    for key, value in args.items() if isinstance(args, dict) else enumerate(args):
        path = ("args", key)
        if isinstance(key, str) and not _FLAG.fullmatch(key):
            layers.fault(
                path,
                "not the name of a command-line flag",
                "a list under args is passed on word by word",
            )
        try:
            args[key] = read_argument(value) if isinstance(args, dict) else read_line(value)
        except ValueError as error:
            layers.fault(path, str(error))
