"""A training in the style of Lightning: gloo, its own checkpoints, and a stop at USR1.

The argument `slurm` reads the ranks from Slurm's variables, `env` from torchrun's. All ranks add
their numbers in each step; rank 0 writes `attempt step` lines into output/counted.
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist

FORMS = {
    "slurm": ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS"),
    "env": ("RANK", "LOCAL_RANK", "WORLD_SIZE"),
}
rank, local, world = (int(os.environ[name]) for name in FORMS[sys.argv[1]])
last = int(sys.argv[2])
resumed = Path(sys.argv[sys.argv.index("--ckpt_path") + 1]) if "--ckpt_path" in sys.argv else None
output = Path(os.environ["CLUSTERRUN_RUN_DIR"]) / "output"
output.mkdir(exist_ok=True)
stop_signals = []
signal.signal(signal.SIGUSR1, lambda *_: stop_signals.append(1))

address = f"tcp://{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
if sys.argv[1] == "slurm":
    dist.init_process_group("gloo", address, rank=rank, world_size=world)
else:
    dist.init_process_group("gloo")
print(f"rank {rank} of {world}, local {local} on {os.environ['SLURMD_NODENAME']}", flush=True)
step = int(resumed.stem.partition("-")[2]) if resumed else 0
while True:
    step += 1
    word = torch.tensor([rank, len(stop_signals)])
    dist.all_reduce(word)
    if rank == 0:
        with (output / "counted").open("a") as file:
            file.write(f"{os.environ['CLUSTERRUN_ATTEMPT']} {step}\n")
    if word[1] or step >= last:
        if rank == 0:
            (output / f"step-{step}.ckpt").write_text(str(word[0].item()))
        break
    time.sleep(0.1 if resumed is None else 0)
dist.destroy_process_group()
