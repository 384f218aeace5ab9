"""The paragraphs that tools/docs/job_spec.py puts around the tables of the job spec's page.

A backslash at the end of a line joins it with the next one in the page.
"""

INTRODUCTION = """\
# The job spec

<!-- Written by tools/docs/job_spec.py from the models. Change those, and run it. -->

A job spec is a YAML file with sbatch's and accelerate's own keys; dashes and underscores are both \
accepted. Values that YAML 1.1 would misread are read as you wrote them:
`12:00:00` stays a time, and `no`, `off` and `3e-4` reach your script unchanged.
All mistakes are reported at once, as `file:line: key: what is wrong`, before anything is queued.

Values come in layers, each over the one before:
the virtual environment of your shell (only if nothing else names a Python),
the site's profile, the file, and each `--set KEY=VALUE`.

A [profile](../guides/site-defaults.md) has the same sections, `share`, `hang`, `notify`, \
`node_check`, and `run_root`, the folder in which run folders are made
(without it `runs`, relative to the working folder).
Its `gpu_memory` is the memory of each GPU, with which `clusterrun estimate` computes whether a \
run fits, and `submit` warns: `80GB` for all, or a mapping from partitions or GPU types, \
`{gpu: 80GB, a100: 40GB}`.
The profile is the file of `--profile`, else of `CLUSTERRUN_PROFILE`, else \
`~/.config/clusterrun/profile.yaml`.
Its values are only defaults: if a spec has a value that excludes one of them, \
that default is dropped.
"""

# The text after a table.
PARAMETERS = """\
## parameters

```yaml
name: "gpt2-lr-{lr}"
script: train.py
parameters: {lr: 1e-4, data: null}     # null: each submission must set it
args: {learning_rate: "{lr}", dataset: "{data}", output_dir: "{run_dir}/lr-{lr}"}
slurm: {time: 12:00:00}
```

`submit`, `render`, `validate` and `rehearse` set them with `--param lr=3e-4 --param data=c4`; the \
value is written as in YAML. [The guide](../guides/parameters.md) has examples.

- `{lr}` may be part of any value but a `command`, `setup` and `node_check`. Those are shell: add \
`environment: {variables: {LR: "{lr}"}}`, and write `"$LR"`.
- `{fast}` alone is the value with its type: `true` is a bare flag, `false` is omitted, and a list \
becomes repeated values. Within a text it is the value as you wrote it, so `1e-4` stays `1e-4`.
- Words in braces that are no parameters are left alone; write `{{lr}}` for the text `{lr}`.
- A run keeps its values when it restarts, and in `resume`; `status` shows them.
"""
PLACEHOLDERS = """\
## Placeholders

Values that only the running job knows, in `args` and in `environment.variables`:

| placeholder | value |
|---|---|
| `{run_dir}` | the run folder, the same for all attempts |
| `{run_id}` | the run's name, the same for all attempts |
| `{attempt}` | the attempt, four digits from `0001` |
| `{job_id}` | the Slurm job of this attempt |
| `{array_task}` | the index of this task, with `slurm.array` |
| `{checkpoint}` | with `checkpoint.path`, in `args` only: its newest match, or empty |

```yaml
args: {output_dir: "{run_dir}/output", seed: "{array_task}"}
slurm: {array: 0-3, time: 1:00:00}
environment: {variables: {WANDB_RUN_GROUP: "{run_id}"}}
```

Write the quotes: without them YAML reads `{run_dir}` as a mapping. A value with spaces is one \
word. All other braces, such as JSON, reach the script as written; write `{{run_dir}}` for the \
text `{run_dir}`. No shell reads `args` and `variables`, so `$NAME` is not expanded there; \
`validate` notes it. A `command` and the lines of `setup` are shell: they read \
[variables](../guides/nodes-with-command.md#the-variables-that-it-can-read).
"""
SHARING = """\
## What others see

A run folder is private to its owner. With `share: group` its group may list it, \
read `logs/` and write to `stop`,
which is what `clusterrun stop FOLDER` does for a teammate. Specs, script, \
records and checkpoints stay closed.
`output/` is closed, too; the mode of what your script writes elsewhere follows your umask.
The folders above are yours to open: `clusterrun validate` names the first that only you can enter.
In a folder with the setgid bit (`chmod g+s`) run folders have its group, otherwise your own.
"""
ARRAYS = """\
Each task of an `array` is a run of its own, `<run id>-<task>` in `<run folder>/task-<task>`. \
It has its own attempts,
checkpoints and logs, and is stopped, preempted and requeued by itself. The script finds its \
number in SLURM_ARRAY_TASK_ID.
"""
CHECKPOINTS = """\
`path`, `resume` and `signal` are for scripts that do not use `clusterrun.training`
(an example: [plain_script.yaml](../../job_specs/plain_script.yaml)).
The newest match by modification time counts, unless it is empty. A script should write a \
checkpoint under another name
and rename it when it is complete: a match that is half written looks like a checkpoint.
After two crashes in a row the one before it is tried.
In a fixed folder a new run resumes from the checkpoints of an old one; below `{run_dir}` each run \
has its own.
"""
NOTICES = """\
## notify

```yaml
environment: {secrets: [SLACK_WEBHOOK_URL]}
notify:
  - {on: [finished, gave-up], to: {webhook: SLACK_WEBHOOK_URL, shape: slack}}
  - {on: [requeued], to: {mail: alice@example.org}}
```

`on`: `finished`; `gave-up`, every final end that nobody requested; `requeued`, \
every end after which the
run continues by itself, in the same job or as a successor.
`to`: either `webhook`, the name of a variable in `environment.secrets`, or `mail`, an address.
`shape` is the format of a webhook's message: `slack`, `discord`, or `json` with the keys \
`run_id`, `event`, `cause`, `reason`, `step`, `attempt`, `job_id` and `text`.

The job script sends at the end of an attempt, from the first node, with `curl`, \
or with the node's `mail` or `sendmail`.
If the node has no mail program, Slurm is requested to mail the end of that last job (`finished`, \
`gave-up`; to one
address, and only if the spec has no `mail-type` of its own); otherwise the log says that nobody \
was notified.
All notifications together have five seconds, two if Slurm's kill is imminent, \
and no failure changes how the attempt
ends. A webhook's address is in no file, no log and no process list:
sbatch passes the variable on, and curl reads it from a pipe.
An attempt that is killed outright, as by a node failure, notifies nobody: \
the next one does so when it begins.
`clusterrun notify --test JOB.yaml` sends a test from where you type it.

Slurm's own mail, `slurm: {mail-user: ..., mail-type: ...}`, is about jobs, not runs:
its END is not "finished", and its REQUEUE is not sent if a successor continues the run.
"""
