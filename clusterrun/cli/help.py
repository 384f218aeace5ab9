"""The parts of `--help` that argparse does not write: command groups and examples."""

from __future__ import annotations

GROUPS = {
    "Prepare": ("doctor", "init", "schema", "validate", "estimate", "render"),
    "Submit": ("submit", "rehearse"),
    "Inspect": (
        "status",
        "list",
        "best",
        "compare",
        "why",
        "logs",
        "report",
        "diff",
        "wait",
        "checkpoints",
    ),
    "Control": ("stop", "requeue", "resume", "cancel"),
    "Maintain": ("clean", "notify", "completion"),
}
EXAMPLES = {
    "doctor": (
        (
            "clusterrun doctor",
            "check this cluster; each problem comes with a fix",
        ),
        ("clusterrun doctor --on-nodes", "check two nodes in a small job, too"),
        ("clusterrun doctor --write-profile", "write a first profile for this cluster"),
    ),
    "init": (
        ("clusterrun init", "answer a few questions, and get a first job spec"),
        (
            "clusterrun init --script train.py --strategy fsdp --nodes 2 --gpus-per-node 4",
            "without questions",
        ),
        (
            "clusterrun init --from-sbatch old.sh",
            "translate an old sbatch script, and list its mistakes",
        ),
    ),
    "schema": (
        (
            "clusterrun schema -o .clusterrun.schema.json",
            "for an editor that completes and checks YAML",
        ),
        ("clusterrun schema status", "the schema of status --json"),
    ),
    "validate": (
        ("clusterrun validate job.yaml", "report all mistakes at once, with their lines"),
        ("clusterrun validate job.yaml --set slurm.nodes=4", "check another value"),
    ),
    "estimate": (
        ("clusterrun estimate job.yaml", "compare all strategies"),
        (
            "clusterrun estimate --parameters 7B --gpus 8 --gpu-memory 80GB",
            "estimate without a spec",
        ),
    ),
    "render": (
        ("clusterrun render job.yaml", "print the complete script"),
        ("clusterrun render job.yaml | sbatch", "queue it by hand"),
        ("clusterrun render job.yaml --explain", "show where each value comes from"),
    ),
    "submit": (
        ("clusterrun submit job.yaml", "queue a run"),
        (
            "clusterrun submit job.yaml --set slurm.nodes=4 --set args.learning_rate=1e-4",
            "override values of the spec",
        ),
        (
            "clusterrun submit job.yaml --dry-run",
            "ask Slurm whether it would accept the job, without queueing it",
        ),
        ("clusterrun submit job.yaml --local", "run on this machine, without Slurm"),
    ),
    "rehearse": (
        ("clusterrun rehearse job.yaml", "rehearse a preemption on the cluster"),
        ("clusterrun rehearse job.yaml --local --steps 5", "rehearse on this machine"),
    ),
    "diff": (
        (
            "clusterrun diff tiny-gpt2",
            "show what has changed in the code since the run was submitted",
        ),
        ("clusterrun diff tiny-gpt2 last", "compare the specs and the code of two runs"),
    ),
    "status": (
        ("clusterrun status", "show all active runs, or the most recent one"),
        ("clusterrun status tiny-gpt2 --watch", "keep one run's status up to date"),
        ("clusterrun status SWEEP --sort args.lr --csv", "the members of a sweep, as CSV"),
        ("clusterrun status tiny-gpt2 --json", "print JSON for programs"),
    ),
    "best": (
        ("clusterrun best SWEEP", "by the sweep's metric, or by the last loss"),
        ("clusterrun best SWEEP --metric accuracy --goal max --json", "by another metric"),
    ),
    "compare": (
        ("clusterrun compare tiny-gpt2 gpt2-medium", "the values that differ, and the losses"),
        ("clusterrun compare SWEEP --html page.html", "the curves of all members on one page"),
    ),
    "list": (
        ("clusterrun list", "list all your runs, active ones first"),
        ("clusterrun list --state failed --since 2d", "list the failures of the last two days"),
        ("clusterrun list --tag sweep-7 --sort best", "the lowest loss first"),
        (
            "clusterrun list --metric accuracy --goal max --sort best",
            "the highest accuracy first",
        ),
        ("clusterrun list --json", "print JSON for programs"),
    ),
    "why": (
        ("clusterrun why", "explain the most recent run"),
        ("clusterrun why tiny-gpt2 --json", "print JSON for programs"),
    ),
    "logs": (
        ("clusterrun logs", "print the output of the most recent run"),
        ("clusterrun logs -f tiny-gpt2", "follow the output, also after a requeue"),
        (
            "clusterrun logs tiny-gpt2 --rank 3 --attempt all --grep Error",
            "print one rank's matching lines of all attempts",
        ),
    ),
    "report": (
        ("clusterrun report tiny-gpt2", "show where the run's time went"),
        (
            "clusterrun report tiny-gpt2 --html report.html",
            "write a self-contained page with its curves",
        ),
    ),
    "wait": (
        ("clusterrun wait tiny-gpt2", "wait for the end; exit code 0 if it completed"),
        ("clusterrun wait last --timeout 3600", "wait at most one hour"),
    ),
    "cancel": (("clusterrun cancel tiny-gpt2", "cancel at once, without a checkpoint"),),
    "stop": (
        ("clusterrun stop tiny-gpt2", "save a checkpoint and exit; `resume` continues the run"),
    ),
    "resume": (
        ("clusterrun resume tiny-gpt2", "resume from the last checkpoint"),
        ("clusterrun resume tiny-gpt2 --set slurm.time=1-0", "resume with a longer time limit"),
    ),
    "requeue": (("clusterrun requeue tiny-gpt2", "save a checkpoint and restart in the same job"),),
    "checkpoints": (
        ("clusterrun checkpoints", "list the checkpoints of the most recent run"),
        ("clusterrun checkpoints tiny-gpt2 --verify", "verify every byte against the checksums"),
    ),
    "clean": (
        ("clusterrun clean --older-than 30d --dry-run", "show what old runs use"),
        (
            "clusterrun clean --state failed,cancelled --older-than 1w",
            "remove them after a confirmation",
        ),
        (
            "clusterrun clean --checkpoints --keep 2",
            "keep the newest two checkpoints of each ended run",
        ),
    ),
    "notify": (
        ("clusterrun notify --test job.yaml", "send a test message to every target in the spec"),
        ("clusterrun notify --test tiny-gpt2", "send one to the targets of a run"),
    ),
    "completion": (
        (
            "clusterrun completion bash > ~/.local/share/bash-completion/completions/clusterrun",
            "bash",
        ),
        ("clusterrun completion zsh > ~/.zfunc/_clusterrun", "zsh, with ~/.zfunc in fpath"),
        ("clusterrun completion fish > ~/.config/fish/completions/clusterrun.fish", "fish"),
    ),
}


def format_commands(commands: dict[str, str]) -> str:
    """Format the commands under their group headings, one per line."""
    width = max(map(len, commands))
    lines = []
    for heading, names in GROUPS.items():
        here = [name for name in names if name in commands]
        lines += [f"{heading}:", *(f"    {name:<{width}}  {commands[name]}" for name in here), ""]
    return "\n".join(lines).rstrip()


def format_examples(command: str) -> str:
    """Format a command's examples, each below a comment that explains it."""
    lines = ["examples:"]
    for typed, what in EXAMPLES.get(command, ()):
        lines += [f"  # {what}", f"  {typed}"]
    return "\n".join(lines) if command in EXAMPLES else ""
