"""A table of failures: how each looks in a log, what it means, and what to do.

The patterns are matched in this order against Python's uncaught exceptions (`raised`) or every
line (`says`). tests/logs has a real log for each.
"""

from __future__ import annotations

from dataclasses import dataclass

CAUSE, MAYBE_ECHO, ECHO = 0, 1, 2
"""A cause; an error that can be the echo of another rank's failure; an echo."""


@dataclass(frozen=True)
class Failure:
    """One class of failures."""

    name: str
    meaning: str
    fix: str
    raised: str = ""
    says: str = ""
    weight: int = CAUSE


FAILURES = (
    Failure(
        "launcher",
        "a process that this one started has failed",
        "look for its own error above",
        raised=r"ChildFailedError|CalledProcessError: .*(?:accelerate|python|torchrun|script|\.py)",
        weight=ECHO,
    ),
    Failure(
        "cuda-out-of-memory",
        "GPU memory is too small for the model, its optimizer and this batch",
        "use a smaller batch with more `accelerate.gradient_accumulation_steps`, gradient "
        "checkpointing, or ZeRO or FSDP; `clusterrun estimate` shows what fits",
        raised=(
            "OutOfMemoryError|CUDA out of memory|CUDA error: out of "
            "memory|CUBLAS_STATUS_ALLOC_FAILED"
        ),
    ),
    Failure(
        "gpu-fault",
        "a GPU or its memory is broken, or the GPU fell off the bus; the script is not the cause",
        "no action needed: the run restarts, and a node that is the first to crash twice is "
        "excluded; report the node to your administrators",
        raised=(
            "uncorrectable ECC error|GPU is lost|fallen off the bus|unspecified launch "
            "failure|CUDA_ERROR_ECC"
        ),
        says="NVRM: Xid|GPU has fallen off the bus|uncorrectable ECC error encountered|"
        "Unable to determine the device handle",
    ),
    Failure(
        "device-assert",
        "a GPU kernel got an index out of range, usually a label or token that the model "
        "does not have",
        "compare vocabulary and labels with the model's; CUDA_LAUNCH_BLOCKING: 1 in "
        "`environment.variables` shows the line that failed",
        raised="device-side assert",
    ),
    Failure(
        "no-gpu",
        "torch finds no GPU that it can use, or its CUDA version does not match the node's driver",
        "request GPUs (`slurm.gpus-per-node`), or install a torch build for the CUDA version "
        "that `nvidia-smi` shows on the node",
        raised=(
            "NVIDIA driver on your system is too old|Found no NVIDIA driver|not compiled with "
            "CUDA enabled|No CUDA GPUs are available|no kernel image is available|CUDA driver "
            "version is insufficient|invalid device ordinal|no CUDA-capable device|unsupported "
            "display driver"
        ),
        says=r"node check failed: torch \S+ (?:is built for CPUs|finds \d+ of)",
    ),
    Failure(
        "shared-memory",
        "the shared memory (/dev/shm) that passes batches from data loading workers is full",
        "use fewer or no `num_workers`, or smaller batches; in a container, a larger /dev/shm",
        raised=(
            "Bus error|out of shared memory|unable to open shared memory|unable to "
            "(?:mmap|allocate) .*shm|shm_open|SIGBUS"
        ),
        says=r"insufficient shared memory \(shm\)|srun: error: .*: Bus error",
    ),
    Failure(
        "host-out-of-memory",
        "the node's memory, or the job's share of it, is used up",
        "increase `slurm.mem` or use fewer data loading workers; `sacct -j JOB -o "
        "JobID,State,MaxRSS` shows the peak",
        raised=r"MemoryError|DefaultCPUAllocator|\[Errno 12\]|Cannot allocate memory|bad_alloc",
        says="oom[-_]kill event|oom-killer|srun: error: .*: Out Of Memory",
    ),
    Failure(
        "quota",
        "a disk quota for bytes or files is used up",
        "free some space or use another run root; check with `quota -s` or your site's command",
        raised=r"Disk quota exceeded|\[Errno 122\]|File too large|\[Errno 27\]",
    ),
    Failure(
        "disk-full",
        "a disk is full",
        "free some space: check the folder in the log line with `df -h` and `df -i`, on the "
        "node if the disk is local to it",
        raised=(
            r"No space left on device|\[Errno 28\]|PytorchStreamWriter failed|iostream "
            r"error|unexpected pos \d+ vs"
        ),
    ),
    Failure(
        "run-folder",
        "the run folder was renamed or removed, is read-only, or its disk is",
        "check it with `ls -ld` and `df -h`, move it back or make it writable, and resume the run",
        says=r"clusterrun: cannot (?:write to|create the run folder) /",
    ),
    Failure(
        "too-many-open-files",
        "a process has reached its limit of open files",
        "add `ulimit -n 65536` to `environment.setup`, or use fewer data loading workers",
        raised=r"Too many open files|\[Errno 24\]",
    ),
    Failure(
        "extension-build",
        "a package, such as DeepSpeed, could not compile an extension on the node",
        "load a compiler and the CUDA toolkit that torch was built with "
        "(`environment.modules`), or build the extension beforehand (DS_BUILD_OPS=1 pip "
        "install deepspeed)",
        raised=(
            "Error building extension|failed to "
            "build/load|CUDAMismatchException|CUDA_HOME|MissingCUDAException|Unable to JIT "
            "load|[Nn]inja is required"
        ),
    ),
    Failure(
        "hub-gated",
        "the Hugging Face Hub denied access: the repository is gated or private, or no token "
        "arrived",
        "request access on its page, and pass the token: `environment.secrets: [HF_TOKEN]`",
        raised=(
            "[Gg]ated ?[Rr]epo|401 Client Error|403 Client Error|Access to model .* is restricted"
        ),
    ),
    Failure(
        "hub-offline",
        "it is not in the node's cache, and the Hugging Face Hub is not reachable from the "
        "node (or HF_HUB_OFFLINE is set)",
        "download it on the login node into a folder that the nodes see (HF_HOME in "
        "`environment.variables`), or use a local path",
        raised=(
            "couldn't connect to 'https://huggingface|LocalEntryNotFoundError|"
            "OfflineModeIsEnabled|"
            r"reach the Hugging Face Hub|huggingface\.co.*(?:Max retries|resolve)"
        ),
    ),
    Failure(
        "port-in-use",
        "another process on the node uses the rendezvous port",
        "no action needed: the next attempt uses another port; a script must not open a port "
        "itself",
        raised="EADDRINUSE|[Aa]ddress already in use|launch distributed communication on port",
    ),
    Failure(
        "unresolved-name",
        "a node cannot resolve the name of another node",
        "ask your administrators; until then exclude the node with `slurm.exclude`",
        raised="Name or service not known|Temporary failure in name resolution|gai error",
        says=r"cannot be retrieved \(gai error",
    ),
    Failure(
        "rendezvous",
        "the ranks did not meet: one was late, or the nodes cannot connect to each other",
        "look for the output of the missing node; the ports 10000 to 29999 must be open "
        "between the nodes (docs/troubleshooting.md)",
        raised=(
            r"client socket has (?:timed "
            r"out|failed)|DistStoreError|DistNetworkError|Rendezvous\w*Error|"
            "Connection refused|waiting for clients"
        ),
        weight=MAYBE_ECHO,
    ),
    Failure(
        "world-size",
        "more or fewer ranks met than the job has",
        "the script must not start a launcher itself; `accelerate.num_processes` is the "
        "number on all nodes together",
        raised=r"\(CLUSTERRUN_WORLD_SIZE\)",
    ),
    Failure(
        "nccl-time-out",
        "a rank waited in a collective until NCCL's timeout: another rank was elsewhere, "
        "slower, or gone",
        "look for the rank that does not report this; if one rank alone does something long "
        "(a save, an evaluation), let all ranks do it, or increase the timeout",
        raised="Watchdog caught collective",
        says="Watchdog caught collective operation timeout",
        weight=MAYBE_ECHO,
    ),
    Failure(
        "collective-time-out",
        "a rank waited in a collective until its timeout: another rank was elsewhere, "
        "slower, or gone",
        "look for the rank that does not report this; all ranks must do the same number of steps",
        raised=r"Timed out waiting \d+ms|Timed out after \d+ ?ms|collective operation timeout",
        weight=MAYBE_ECHO,
    ),
    Failure(
        "peer-lost",
        "a rank lost its connection to another one that was already gone",
        "look for the output of the other rank, and for a failed node",
        raised=(
            "Connection (?:closed by|reset by) peer|ncclRemoteError|Broken pipe|remote process "
            "exited|Socket closed|Connection was likely closed"
        ),
        weight=MAYBE_ECHO,
    ),
    Failure(
        "nccl-error",
        "NCCL could not communicate with the other GPUs or nodes",
        "set NCCL_DEBUG: INFO in `environment.variables` to see why; NCCL_SOCKET_IFNAME "
        "selects the network interface",
        raised=r"NCCL error|nccl(?:System|Internal|UnhandledCuda|Invalid\w+)Error",
        weight=MAYBE_ECHO,
    ),
    Failure(
        "data-missing",
        "a model, tokenizer or dataset was not found where the script looks for it",
        "check the path or name in the log line; paths are relative to `slurm.chdir`",
        raised="DatasetNotFoundError|SchemaInferenceError|DataFilesNotFoundError|Unable to find '|"
        "Can't load (?:the )?(?:tokenizer|config|model|feature|image)|RepositoryNotFoundError|"
        "instantiate the backend tokenizer|is not a local folder|Error no file named",
    ),
    Failure(
        "shape-mismatch",
        "the checkpoint belongs to another model than the script has built",
        "load it with the configuration that it was saved with, or start without it",
        raised=r"Error\(s\) in loading state_dict|size mismatch for|Missing key\(s\) in state_dict",
    ),
    Failure(
        "missing-module",
        "a Python package is missing on the node, or cannot be imported there",
        "install it into the environment of the spec (`environment.venv`, `conda`, "
        "`modules`), which the nodes must see",
        raised="ModuleNotFoundError|ImportError",
    ),
    Failure(
        "nan",
        "the loss or a gradient is no longer a number",
        "use a smaller learning rate, gradient clipping, or bf16 instead of fp16; "
        "`clusterrun resume` continues from the last checkpoint before it",
        raised=(
            r"FloatingPointError|returned nan values|(?i:\b(?:loss|gradients?|grad(?:ient)?[ "
            r"_]norm|logits|"
            r"parameters?)\b[^.]{0,60}\b(?:nan|inf|not finite|"
            r"non-?finite)\b)|(?i:\bnan\b[^.]{0,30}\b(?:loss|"
            "gradient))"
        ),
    ),
    Failure(
        "wrong-arguments",
        "the script does not accept these arguments",
        "correct `args` in the spec; `clusterrun validate` checks the arguments that it can "
        "read from the script",
        raised="HfArgumentParser|not used by the HfArgumentParser",
        says=(
            ": error: (?:unrecognized arguments|the following arguments are required|argument "
            "|ambiguous option|one of the arguments)"
        ),
    ),
    Failure(
        "file-not-found",
        "a file was not found where the script looks for it",
        "check the path: it is relative to `slurm.chdir`, and the nodes must see it",
        raised=r"FileNotFoundError|\[Errno 2\]",
    ),
    Failure(
        "permission",
        "the user may not read or write this file",
        "check the path in the log line with `ls -ld`, on a node",
        raised=r"PermissionError|\[Errno 13\]",
    ),
    Failure(
        "segmentation-fault",
        "a library crashed in C code",
        "the stack above shows which; torch, CUDA and the package must be built for each other",
        says=r"Fatal Python error: Segmentation fault|Segmentation fault(?: \(core dumped\))?$|"
        "srun: error: .*: Segmentation fault",
    ),
)
