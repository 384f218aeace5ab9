"""What `--help` shows besides the options: commands by the journey of a job, and examples."""

from __future__ import annotations

GROUPS = {
    "write a spec": ("doctor", "init", "schema", "validate", "estimate", "render"),
    "queue it": ("submit", "rehearse"),
    "look": ("status", "list", "why", "logs", "report", "wait", "checkpoints"),
    "act": ("stop", "requeue", "resume", "cancel"),
    "keep order": ("clean", "notify", "completion"),
}
EXAMPLES = {
    "doctor": (
        (
            "clusterrun doctor",
            "what this cluster allows, with a remedy for each thing that is amiss",
        ),
        ("clusterrun doctor --on-nodes", "a small job looks at two nodes, too"),
        ("clusterrun doctor --write-profile", "begin a profile with what was found"),
    ),
    "init": (
        ("clusterrun init", "a few questions, and a first job spec"),
        (
            "clusterrun init --script train.py --strategy fsdp --nodes 2 --gpus-per-node 4",
            "without questions",
        ),
        (
            "clusterrun init --from-sbatch old.sh",
            "the spec that does the same, and what is wrong with the old script",
        ),
    ),
    "schema": (
        ("clusterrun schema -o .clusterrun.schema.json", "for your editor"),
        ("clusterrun schema status", "what status --json prints"),
    ),
    "validate": (
        ("clusterrun validate job.yaml", "all mistakes at once, at their line"),
        ("clusterrun validate job.yaml --set slurm.nodes=4", "with another value"),
    ),
    "estimate": (
        ("clusterrun estimate job.yaml", "under every strategy"),
        ("clusterrun estimate --parameters 7B --gpus 8 --gpu-memory 80GB", "without a spec"),
    ),
    "render": (
        ("clusterrun render job.yaml", "the whole script"),
        ("clusterrun render job.yaml | sbatch", "and queued by hand"),
        ("clusterrun render job.yaml --explain", "where each value comes from"),
    ),
    "submit": (
        ("clusterrun submit job.yaml", "queue a run"),
        (
            "clusterrun submit job.yaml --set slurm.nodes=4 --set args.learning_rate=1e-4",
            "with other values",
        ),
        ("clusterrun submit job.yaml --dry-run", "only ask Slurm whether it would take it"),
        ("clusterrun submit job.yaml --local", "on this machine, without Slurm"),
    ),
    "rehearse": (
        ("clusterrun rehearse job.yaml", "on the cluster"),
        ("clusterrun rehearse job.yaml --local --steps 5", "on this machine"),
    ),
    "status": (
        ("clusterrun status", "all that live; where none does, the last one"),
        ("clusterrun status tiny-gpt2 --watch", "one run, kept up to date"),
        ("clusterrun status tiny-gpt2 --json", "for a program"),
    ),
    "list": (
        ("clusterrun list", "all your runs, the living first"),
        ("clusterrun list --state failed --since 2d", "what failed since the day before yesterday"),
        ("clusterrun list --json", "for a program"),
    ),
    "why": (
        ("clusterrun why", "of the last run"),
        ("clusterrun why tiny-gpt2 --json", "for a program"),
    ),
    "logs": (
        ("clusterrun logs", "of the last run"),
        ("clusterrun logs -f tiny-gpt2", "and what is to come, over requeues"),
        (
            "clusterrun logs tiny-gpt2 --rank 3 --attempt all --grep Error",
            "one rank's lines with a word in them",
        ),
    ),
    "report": (
        ("clusterrun report tiny-gpt2", "where its time went"),
        (
            "clusterrun report tiny-gpt2 --html report.html",
            "with its curves, as a page for any browser",
        ),
    ),
    "wait": (
        ("clusterrun wait tiny-gpt2", "0 where it completed"),
        ("clusterrun wait last --timeout 3600", "at most an hour"),
    ),
    "cancel": (("clusterrun cancel tiny-gpt2", "at once, without a checkpoint"),),
    "stop": (("clusterrun stop tiny-gpt2", "it saves, leaves, and does not come back by itself"),),
    "resume": (
        ("clusterrun resume tiny-gpt2", "from its last checkpoint"),
        ("clusterrun resume tiny-gpt2 --set slurm.time=1-0", "with more time"),
    ),
    "requeue": (("clusterrun requeue tiny-gpt2", "it saves, leaves, and comes back"),),
    "checkpoints": (
        ("clusterrun checkpoints", "of the last run"),
        ("clusterrun checkpoints tiny-gpt2 --verify", "and read every byte"),
    ),
    "clean": (
        ("clusterrun clean --older-than 30d --dry-run", "what old runs hold"),
        (
            "clusterrun clean --state failed,cancelled --older-than 1w",
            "remove them, after a question",
        ),
        (
            "clusterrun clean --checkpoints --keep 2",
            "of each run that has ended the newest two stay",
        ),
    ),
    "notify": (
        ("clusterrun notify --test job.yaml", "a test message to every place that the spec names"),
        ("clusterrun notify --test tiny-gpt2", "to those of a run"),
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
    """Write the commands under the headings of the journey, a line a command."""
    width = max(map(len, commands))
    lines = []
    for heading, names in GROUPS.items():
        here = [name for name in names if name in commands]
        lines += [f"{heading}:", *(f"    {name:<{width}}  {commands[name]}" for name in here), ""]
    return "\n".join(lines).rstrip()


def format_examples(command: str) -> str:
    """Write a command's examples, each after a comment that says what it does."""
    lines = ["examples:"]
    for typed, what in EXAMPLES.get(command, ()):
        lines += [f"  # {what}", f"  {typed}"]
    return "\n".join(lines) if command in EXAMPLES else ""
