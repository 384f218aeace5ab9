"""The ways in which a run fails, as a table: how each looks in a log, what it means, what to do.

The patterns are tried in this order on the lines of Python's uncaught exceptions (`raised`), or on
every line (`says`). Each has a true text in tests/logs.
"""

from __future__ import annotations

from dataclasses import dataclass

CAUSE, MAYBE_ECHO, ECHO = 0, 1, 2
"""A cause; what a rank also reports when another one failed; a mere report of another's failure."""


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
        "a process that was started from here has failed",
        "look for its own error above",
        raised=r"ChildFailedError|CalledProcessError: .*(?:accelerate|python|torchrun|script|\.py)",
        weight=ECHO,
    ),
    Failure(
        "cuda-out-of-memory",
        "a GPU's memory is not enough for the model, its optimizer and this batch",
        "a smaller batch with more `accelerate.gradient_accumulation_steps`, gradient "
        "checkpointing, or ZeRO or FSDP: `clusterrun estimate` says what fits",
        raised=(
            "OutOfMemoryError|CUDA out of memory|CUDA error: out of "
            "memory|CUBLAS_STATUS_ALLOC_FAILED"
        ),
    ),
    Failure(
        "gpu-fault",
        "a GPU or its memory is broken, or fell off the bus: no fault of the script",
        "nothing: the run comes back, and a node that is the first to crash twice is left out; "
        "tell the site which node it was",
        raised=(
            "uncorrectable ECC error|GPU is lost|fallen off the bus|unspecified launch "
            "failure|CUDA_ERROR_ECC"
        ),
        says="NVRM: Xid|GPU has fallen off the bus|uncorrectable ECC error encountered|"
        "Unable to determine the device handle",
    ),
    Failure(
        "device-assert",
        "a kernel on the GPU found an index out of its range, mostly a label or a token that the "
        "model does not have",
        "compare vocabulary and labels with the model's; CUDA_LAUNCH_BLOCKING: 1 in "
        "`environment.variables` shows the true line",
        raised="device-side assert",
    ),
    Failure(
        "no-gpu",
        "torch and the node's driver do not fit, or there is no GPU for it",
        "ask for GPUs (`slurm.gpus-per-node`); else a torch built for the driver's CUDA version, "
        "which `nvidia-smi` shows on the node",
        raised=(
            "NVIDIA driver on your system is too old|Found no NVIDIA driver|not compiled with "
            "CUDA enabled|No CUDA GPUs are available|no kernel image is available|CUDA driver "
            "version is insufficient|invalid device ordinal|no CUDA-capable device|unsupported "
            "display driver"
        ),
    ),
    Failure(
        "shared-memory",
        "the shared memory (/dev/shm) through which data loading hands over its batches is full",
        "fewer or no `num_workers`, smaller batches; in a container a larger /dev/shm",
        raised=(
            "Bus error|out of shared memory|unable to open shared memory|unable to "
            "(?:mmap|allocate) .*shm|shm_open|SIGBUS"
        ),
        says=r"insufficient shared memory \(shm\)|srun: error: .*: Bus error",
    ),
    Failure(
        "host-out-of-memory",
        "the node's memory, or the job's share of it, is used up",
        "more `slurm.mem`, fewer data loading workers; `sacct -j JOB -o JobID,State,MaxRSS` shows "
        "what it took",
        raised=r"MemoryError|DefaultCPUAllocator|\[Errno 12\]|Cannot allocate memory|bad_alloc",
        says="oom[-_]kill event|oom-killer|srun: error: .*: Out Of Memory",
    ),
    Failure(
        "quota",
        "a quota is used up, of bytes or of files",
        "make room, or another run root: `quota -s`, or what the site has in its place",
        raised=r"Disk quota exceeded|\[Errno 122\]|File too large|\[Errno 27\]",
    ),
    Failure(
        "disk-full",
        "a disk is full",
        "make room: `df -h` and `df -i` of the folder that the line names, on the node if it is "
        "the node's own",
        raised=(
            r"No space left on device|\[Errno 28\]|PytorchStreamWriter failed|iostream "
            r"error|unexpected pos \d+ vs"
        ),
    ),
    Failure(
        "too-many-open-files",
        "a process has more open files than it may have",
        "`ulimit -n 65536` in `environment.setup`; fewer data loading workers",
        raised=r"Too many open files|\[Errno 24\]",
    ),
    Failure(
        "extension-build",
        "a package (DeepSpeed's and the like) could not compile a part of itself on the node",
        "a CUDA toolkit of torch's own version and a compiler: `environment.modules`; or build it "
        "once beforehand (DS_BUILD_OPS=1 pip install deepspeed)",
        raised=(
            "Error building extension|failed to "
            "build/load|CUDAMismatchException|CUDA_HOME|MissingCUDAException|Unable to JIT "
            "load|[Nn]inja is required"
        ),
    ),
    Failure(
        "hub-gated",
        "the Hugging Face Hub does not give this to you: it is gated or private, or the token did "
        "not arrive",
        "ask for access on its page, and hand over the token: `environment.secrets: [HF_TOKEN]`",
        raised=(
            "[Gg]ated ?[Rr]epo|401 Client Error|403 Client Error|Access to model .* is restricted"
        ),
    ),
    Failure(
        "hub-offline",
        "it is not in the node's cache, and the Hugging Face Hub cannot be reached from there (or "
        "HF_HUB_OFFLINE is set)",
        "download it on the login node into a folder that the nodes see (HF_HOME in "
        "`environment.variables`), or name a local path",
        raised=(
            "couldn't connect to 'https://huggingface|LocalEntryNotFoundError|"
            "OfflineModeIsEnabled|"
            r"reach the Hugging Face Hub|huggingface\.co.*(?:Max retries|resolve)"
        ),
    ),
    Failure(
        "port-in-use",
        "another process on that node has the port of the rendezvous",
        "nothing: the next attempt takes another port; a script must not open one of its own",
        raised="EADDRINUSE|[Aa]ddress already in use|launch distributed communication on port",
    ),
    Failure(
        "unresolved-name",
        "a node cannot find another one by its name",
        "ask the site; until then `slurm.exclude` that node",
        raised="Name or service not known|Temporary failure in name resolution|gai error",
        says=r"cannot be retrieved \(gai error",
    ),
    Failure(
        "rendezvous",
        "the ranks did not find each other: one was not there in time, or no connection is "
        "allowed between the nodes",
        "look for what the missing node says; the ports 10000 to 29999 must be open between the "
        "nodes (docs/troubleshooting.md)",
        raised=(
            r"client socket has (?:timed "
            r"out|failed)|DistStoreError|DistNetworkError|Rendezvous\w*Error|"
            "Connection refused|waiting for clients"
        ),
        weight=MAYBE_ECHO,
    ),
    Failure(
        "world-size",
        "more or fewer ranks met than the job is for",
        "the script must not start a launcher of its own; `accelerate.num_processes` counts all "
        "nodes",
        raised=r"\(CLUSTERRUN_WORLD_SIZE\)",
    ),
    Failure(
        "nccl-time-out",
        "a rank waited in a collective for NCCL's time-out: another rank was elsewhere, slower, "
        "or gone",
        "look for the rank that does not say this; where one rank alone does something long (a "
        "save, an evaluation), let all do it, or raise the time-out",
        raised="Watchdog caught collective",
        says="Watchdog caught collective operation timeout",
        weight=MAYBE_ECHO,
    ),
    Failure(
        "collective-time-out",
        "a rank waited in a collective for longer than it may: another rank was elsewhere, "
        "slower, or gone",
        "look for the rank that does not say this; all ranks must do the same number of steps",
        raised=r"Timed out waiting \d+ms|Timed out after \d+ ?ms|collective operation timeout",
        weight=MAYBE_ECHO,
    ),
    Failure(
        "peer-lost",
        "a rank lost its connection to another one, which was gone by then",
        "look for what the other rank says, and for a node that failed",
        raised=(
            "Connection (?:closed by|reset by) peer|ncclRemoteError|Broken pipe|remote process "
            "exited|Socket closed|Connection was likely closed"
        ),
        weight=MAYBE_ECHO,
    ),
    Failure(
        "nccl-error",
        "NCCL could not talk to the other GPUs or nodes",
        "NCCL_DEBUG: INFO in `environment.variables` shows why; NCCL_SOCKET_IFNAME names the "
        "right interface",
        raised=r"NCCL error|nccl(?:System|Internal|UnhandledCuda|Invalid\w+)Error",
        weight=MAYBE_ECHO,
    ),
    Failure(
        "data-missing",
        "a model, a tokenizer or a data set is not where the script looks for it",
        "look at the path or the name in the line; paths are relative to `slurm.chdir`",
        raised="DatasetNotFoundError|SchemaInferenceError|DataFilesNotFoundError|Unable to find '|"
        "Can't load (?:the )?(?:tokenizer|config|model|feature|image)|RepositoryNotFoundError|"
        "instantiate the backend tokenizer|is not a local folder|Error no file named",
    ),
    Failure(
        "shape-mismatch",
        "the checkpoint is of another model than the script has built",
        "load it into the configuration that it was saved with, or begin without it",
        raised=r"Error\(s\) in loading state_dict|size mismatch for|Missing key\(s\) in state_dict",
    ),
    Failure(
        "missing-module",
        "a Python package is missing on the node, or cannot be loaded there",
        "install it into the environment that the spec names (`environment.venv`, `conda`, "
        "`modules`), which the nodes must see",
        raised="ModuleNotFoundError|ImportError",
    ),
    Failure(
        "nan",
        "the loss, or a gradient, is not a number any more",
        "a smaller learning rate, clipped gradients, bf16 for fp16; `clusterrun resume` goes on "
        "from before it",
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
        "the script does not take these arguments",
        "`args` in the spec; `clusterrun validate` knows those of the script where it can read "
        "them",
        raised="HfArgumentParser|not used by the HfArgumentParser",
        says=(
            ": error: (?:unrecognized arguments|the following arguments are required|argument "
            "|ambiguous option|one of the arguments)"
        ),
    ),
    Failure(
        "file-not-found",
        "a file is not where the script looks for it",
        "paths are relative to `slurm.chdir`; the nodes must see them",
        raised=r"FileNotFoundError|\[Errno 2\]",
    ),
    Failure(
        "permission",
        "the user may not read or write that",
        "`ls -ld` of the path in the line, on a node",
        raised=r"PermissionError|\[Errno 13\]",
    ),
    Failure(
        "segmentation-fault",
        "a library crashed in C code",
        "the stack above names it; torch, CUDA and the package must be built for each other",
        says=r"Fatal Python error: Segmentation fault|Segmentation fault(?: \(core dumped\))?$|"
        "srun: error: .*: Segmentation fault",
    ),
)
