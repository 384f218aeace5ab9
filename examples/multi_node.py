"""Print the rank and node of each process, and sum a number over all: run it first on new nodes.

What it teaches:

1. `num_processes` counts all machines; a rank is unique in the run, a local rank on its node;
2. `gather_object` collects an object from each process, `reduce` sums a tensor over all of them;
3. `is_main_process` is true on one process of the run; `accelerator.print` prints once per node;
4. if the sum is wrong or never arrives, the network between the nodes is at fault, not the
   training.

It does not train, so there is nothing to resume. It exits with 1 if the sum is wrong:

    accelerate launch examples/multi_node.py
"""

import os
import socket

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object


def main():
    accelerator = Accelerator()
    rank, size = accelerator.process_index, accelerator.num_processes
    here = {
        "rank": rank,
        "local rank": accelerator.local_process_index,
        "host": socket.gethostname(),
        "node": os.environ.get("SLURM_NODEID", "0"),
        "device": str(accelerator.device),
    }
    everyone = gather_object([here])
    found = accelerator.reduce(torch.tensor(rank + 1, device=accelerator.device)).item()
    wanted = size * (size + 1) // 2
    nodes = len({each["node"] for each in everyone})
    if accelerator.is_main_process:
        for each in everyone:
            print(" ".join(f"{name} {value}" for name, value in each.items()))
        print(
            f"{size} processes on {nodes} nodes, {accelerator.distributed_type.value}: sum {found} "
            f"of {wanted}"
        )
    accelerator.wait_for_everyone()
    accelerator.end_training()
    if found != wanted:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
