"""Makes the texts of failures that tests/test_why_failures.py reads, by really failing in each way.

    python tests/logs/make.py [NAME...]        as root, for the full disk; about two minutes on two cores

Each case is a small script under `accelerate launch` on CPUs, with the PyTorch, accelerate, transformers and DeepSpeed
of this environment. What it printed is kept as it is, but for the paths and the host of the machine that made it.
What needs a GPU is in `published/`: excerpts of program output from public issues, whose address is the first line.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
BIN = Path(sys.prefix) / "bin"

# Two ranks that add up numbers: where one is gone, the other one's error is a consequence.
_RANKS = """
import os, sys, time
from datetime import timedelta
import torch
import torch.distributed as dist

dist.init_process_group("gloo", timeout=timedelta(seconds=6))
rank = dist.get_rank()

def train(steps, fail=lambda step: None):
    for step in range(steps):
        fail(step)
        dist.all_reduce(torch.ones(8))
        print(f"step {step} loss {1 / (step + 1):.4f}", flush=True)
"""


@dataclass(frozen=True)
class Case:
    """One way to fail: the script, and how it is launched."""

    script: str
    ranks: int = 2
    args: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    before: str = ""
    """Shell lines before the launch, in a mount namespace of its own."""


CASES = {
    "import_error": Case("import torch\nimport flash_attn_of_nobody\n"),
    "bad_arguments": Case(
        "import argparse\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--learning_rate', type=float)\nparser.parse_args()\n",
        args=("--learning_rat=x", "--lr", "3"),
    ),
    "disk_full": Case(
        _RANKS + "def save(step):\n    if step == 2 and rank == 0:\n        with open('small/state.bin', 'wb') as file:\n"
        "            file.write(bytes(4 << 20))\ntrain(5, save)\n",
        before="mkdir small && mount -t tmpfs -o size=1m none small",
    ),
    "disk_full_torch_save": Case(
        "import torch\ntorch.save(torch.zeros(1 << 20), 'small/state.pt')\n", ranks=1,
        before="mkdir small && mount -t tmpfs -o size=1m none small",
    ),
    "port_in_use": Case(
        "import torch\nfrom torch.distributed import TCPStore\nimport socket\n"
        "taken = socket.socket(); taken.bind(('0.0.0.0', 0)); taken.listen()\n"
        "TCPStore('127.0.0.1', taken.getsockname()[1], 2, True)\n", ranks=1,
    ),
    "rendezvous_time_out": Case(
        "print('never')\n",
        flags=("--num_machines", "2", "--machine_rank", "1", "--main_process_ip", "127.0.0.1", "--main_process_port",
               "9", "--rdzv_conf", "timeout=4"),
    ),
    "unresolved_name": Case(
        "print('never')\n",
        flags=("--num_machines", "2", "--machine_rank", "1", "--main_process_ip", "no-such-node.invalid",
               "--main_process_port", "29511", "--rdzv_conf", "timeout=4"),
    ),
    "gloo_time_out": Case(_RANKS + "train(3)\nif rank == 1:\n    time.sleep(30)\ntrain(1)\n"),
    "one_rank_crashes": Case(
        _RANKS + "def fail(step):\n    if step == 3 and rank == 1:\n        raise KeyError('labels')\ntrain(9, fail)\n"
    ),
    "consequence_first": Case(
        _RANKS + "def fail(step):\n    if step == 3 and rank == 1:\n        dist.destroy_process_group()\n"
        "        time.sleep(2)\n        raise IndexError('index out of range in self')\n"
        "sys.excepthook = (lambda hook: lambda *a: (hook(*a), time.sleep(4 if rank == 0 else 0)))(sys.excepthook)\n"
        "train(9, fail)\n"
    ),
    "killed": Case(
        _RANKS + "def fail(step):\n    if step == 3 and rank == 1:\n        os.kill(os.getpid(), 9)\ntrain(9, fail)\n"
    ),
    "segmentation_fault": Case(
        _RANKS + "import ctypes, faulthandler\nfaulthandler.enable()\ndef fail(step):\n"
        "    if step == 1 and rank == 0:\n        ctypes.string_at(0)\ntrain(3, fail)\n"
    ),
    "nan_loss": Case(
        "import torch\nfrom accelerate import Accelerator\na = Accelerator()\ntorch.manual_seed(0)\n"
        "m = torch.nn.Linear(4, 4)\no = torch.optim.SGD(m.parameters(), lr=1e20)\nm, o = a.prepare(m, o)\n"
        "for step in range(9):\n    loss = (m(torch.ones(2, 4)) ** 2).mean()\n    a.backward(loss)\n    o.step()\n"
        "    if not torch.isfinite(loss):\n"
        "        raise ValueError(f'loss is {loss.item()} at step {step}')\n"
    ),
    "nan_anomaly": Case(
        "import torch\ntorch.autograd.set_detect_anomaly(True)\n"
        "x = torch.zeros(1, requires_grad=True)\n(torch.sqrt(x) * 0).sum().backward()\n", ranks=1,
    ),
    "shape_mismatch": Case(
        "import torch\nsaved = torch.nn.Linear(8, 4).state_dict()\ntorch.nn.Linear(8, 16).load_state_dict(saved)\n"
    ),
    "file_not_found": Case("import json\njson.load(open('data/train.jsonl'))\n"),
    "permission": Case("import os\nos.seteuid(65534)\nopen('/etc/shadow')\n", ranks=1),
    "no_cuda": Case("import torch\ntorch.zeros(1).cuda()\n"),
    "too_many_files": Case(
        "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "files = [open('script.py') for _ in range(99)]\n", ranks=1,
    ),
    "hub_offline": Case(
        "from transformers import AutoTokenizer\nAutoTokenizer.from_pretrained('gpt2')\n",
        variables={"HF_HUB_OFFLINE": "1", "HF_HOME": "hub"},
    ),
    "tokenizer_missing": Case(
        "from transformers import AutoTokenizer\nAutoTokenizer.from_pretrained('./models/mine')\n", ranks=1,
        before="mkdir -p models/mine && echo '{\"model_type\": \"llama\"}' > models/mine/config.json",
        variables={"HF_HUB_OFFLINE": "1"},
    ),
    "dataset_empty": Case(
        "from datasets import load_dataset\nload_dataset('text', data_files='corpus/*.txt')\n", ranks=1,
        variables={"HF_HUB_OFFLINE": "1", "HF_HOME": "hub"},
    ),
    "dataset_missing": Case(
        "from datasets import load_dataset\nload_dataset('text', data_files='corpus/train.txt')\n", ranks=1,
        variables={"HF_HUB_OFFLINE": "1", "HF_HOME": "hub"},
    ),
    "dataset_offline": Case(
        "from datasets import load_dataset\nload_dataset('allenai/c4', 'en')\n", ranks=1,
        variables={"HF_HUB_OFFLINE": "1", "HF_HOME": "hub"},
    ),
    "shared_memory": Case(
        "import os, signal, torch\nclass Data(torch.utils.data.Dataset):\n    def __len__(self):\n        return 8\n"
        "    def __getitem__(self, i):\n        os.kill(os.getpid(), signal.SIGBUS)\n"
        "for batch in torch.utils.data.DataLoader(Data(), num_workers=1):\n    pass\n", ranks=1,
    ),
    "host_memory": Case("import torch\ntorch.empty(1 << 50)\n", ranks=1),
    "deepspeed_build": Case(
        "import deepspeed, torch\nfrom deepspeed.ops.adam import DeepSpeedCPUAdam\n"
        "DeepSpeedCPUAdam([torch.nn.Parameter(torch.ones(2))])\n", ranks=1,
        variables={"CXX": "/bin/false", "DS_ACCELERATOR": "cpu", "TORCH_EXTENSIONS_DIR": "extensions"},
    ),
    "silent_exit": Case("import sys\nsys.exit(3)\n"),
    "tee": Case(
        _RANKS + "def fail(step):\n    if step == 2 and rank == 1:\n        raise KeyError('labels')\n"
        "print('hello from', rank)\ntrain(9, fail)\n",
        flags=("--tee", "3"), variables={"TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE": "[rank${rank}]: "},
    ),
}  # fmt: skip


def main(names: list[str]) -> None:
    """Fail in these ways, or in all, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        for name, text in pool.map(
            lambda name: (name, fail(name, CASES[name])), names or list(CASES)
        ):
            (HERE / f"{name}.log").write_text(
                f"# made by tests/logs/make.py {name}\n{text}", encoding="utf-8"
            )
            print(name, len(text.splitlines()), "lines")


def fail(name: str, case: Case) -> str:
    """Return what one failing launch printed."""
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        Path(folder, "script.py").write_text(case.script.lstrip("\n"))
        flags = [
            "--num_processes",
            str(case.ranks),
            "--mixed_precision",
            "no",
            "--dynamo_backend",
            "no",
            *case.flags,
        ]
        if "--main_process_port" not in flags:
            flags += ["--main_process_port", str(_free_port())]
        several = ["--multi_gpu"] if case.ranks > 1 else []
        words = [f"{BIN}/accelerate", "launch", *several, *flags, "script.py", *case.args]
        shell = f'{case.before or ":"}\nexec "$@"'
        environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": folder, "OMP_NUM_THREADS": "1",
                 "ACCELERATE_USE_CPU": "true", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "5", **case.variables}  # fmt: skip
        done = subprocess.run(
            ["unshare", "--mount", "bash", "-c", shell, "bash", *words], cwd=folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode, f"{name} did not fail:\n{done.stdout}"
        return _elsewhere(done.stdout, folder)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _elsewhere(text: str, folder: str) -> str:
    """Put the paths and the host of this machine out of the text."""
    text = text.replace(folder, "/scratch/alice/run")
    for prefix in {sys.prefix, str(Path(sys.prefix).resolve())}:
        text = text.replace(prefix, "/opt/venv")
    text = text.replace(sys.base_prefix + "/lib", "/usr/lib")
    return re.sub(rf"\b{re.escape(socket.gethostname())}\b", "n1", text)


if __name__ == "__main__":
    main(sys.argv[1:])
