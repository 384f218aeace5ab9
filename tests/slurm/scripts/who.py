"""Each process writes its rank and its machine; a sum over all ranks proves that they met."""

import json
import os
import socket
from pathlib import Path

import torch
from accelerate import Accelerator

accelerator = Accelerator()
total = accelerator.reduce(torch.tensor([accelerator.process_index + 1]), reduction="sum")
seen = {
    "rank": accelerator.process_index,
    "world": accelerator.num_processes,
    "machine_rank": int(os.environ["GROUP_RANK"]),
    "node_id": int(os.environ["SLURM_NODEID"]),
    "host": socket.gethostname(),
    "sum": int(total.item()),
    "accumulation": accelerator.gradient_accumulation_steps,
    "precision": accelerator.mixed_precision,
    "address": os.environ["MASTER_ADDR"],
    "port": int(os.environ["MASTER_PORT"]),
    "variables": {
        name: os.environ.get(name) for name in ("FROM_LOGIN", "FROM_SPEC", "HF_TOKEN", "FROM_SETUP")
    },
    "folder": str(Path.cwd()),
}
folder = Path(os.environ["CLUSTERRUN_RUN_DIR"]) / "who"
folder.mkdir(exist_ok=True)
(folder / f"{accelerator.process_index}.json").write_text(json.dumps(seen))
accelerator.end_training()  # otherwise torch sometimes aborts at exit, after all work is done
