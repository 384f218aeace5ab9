"""Runs the training script that SCRIPT names on CPU ranks, also with DeepSpeed and FSDP, as only
tests do.

Accelerate knows the backend of every GPU, and gloo for CPUs with DDP. For DeepSpeed on CPUs it
knows none, and each process would train alone: BACKEND sets it, before the script's own Accelerator
is created. It allows FSDP only on GPUs; PyTorch's also trains on CPUs, so the ranks pretend to have
GPUs, with CPUs as devices.
"""

import os
import sys
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType

sys.path.append(str(Path(__file__).parent))  # also if another script has run this one
from leaving import leave, run_script

if os.environ.get("DS_ACCELERATOR") == "cpu":
    import deepspeed.ops

    # Only DeepSpeed's own launcher makes use of it, and building it takes a compiler and half a minute.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
if os.environ.get("BACKEND"):
    state = PartialState(backend=os.environ["BACKEND"])
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        state.distributed_type, state.device = DistributedType.MULTI_GPU, torch.device("cpu")
leave(run_script([os.environ["SCRIPT"], *sys.argv[1:]]))
