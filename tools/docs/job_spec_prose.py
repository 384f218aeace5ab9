"""The paragraphs that tools/docs/job_spec.py puts around the tables of the job spec's page.

A backslash at the end of a line joins it with the next one in the page.
"""

INTRODUCTION = """\
# The job spec

<!-- Written by tools/docs/job_spec.py from the models. Change those, and run it. -->

A YAML file. The words are sbatch's and accelerate's own; dashes and underscores are both read.
What YAML 1.1 would misread is read as it was written:
`12:00:00` stays a time, and `no`, `off` and `3e-4` reach your script as written.
Mistakes are told all at once, as `file:line: key: what is wrong`, before anything is queued.

The values come in layers, each over the one before:
the virtual environment of your shell (only where nothing else names a Python),
the site's profile, the file, and each `--set KEY=VALUE`.

A profile has the same sections, `share`, `hang`, `notify`, and `run_root`, \
the folder that run folders are made in
(without it `runs`, relative to the working folder).
Its `gpu_memory` says what each GPU holds, with which `clusterrun estimate` tells whether a run \
fits,
and `submit` warns: `80GB` for all, or a mapping from partitions or types of GPU, \
`{gpu: 80GB, a100: 40GB}`.
It is the file of `--profile`, else of `CLUSTERRUN_PROFILE`, else \
`~/.config/clusterrun/profile.yaml`.
Its values are only defaults: where a spec says something that excludes one of them, \
that one is left out.
"""

# What stands below a table.
SHARING = """\
## What others see

A run folder is its owner's alone. With `share: group` its group may list it, \
read `logs/` and write `stop`,
which is what `clusterrun stop FOLDER` does for a teammate. Specs, script, \
records and checkpoints stay closed.
`output/` is made closed, too; what your script writes beside it has the mode that your umask \
gives it.
The folders above are yours to open: `clusterrun validate` names the first that only you can enter.
In a folder with the setgid bit (`chmod g+s`) run folders have its group, otherwise your own.
"""
ARRAYS = """\
Each task of an `array` is a run of its own, `<run id>-<task>` in `<run folder>/task-<task>`: \
it has its own attempts,
checkpoints and logs, and is stopped, preempted and requeued alone. The script finds its number in \
SLURM_ARRAY_TASK_ID.
"""
CHECKPOINTS = """\
`path`, `resume` and `signal` are for scripts that do not use `clusterrun.training`
(an example: [plain_script.yaml](../../job_specs/plain_script.yaml)).
The newest match by its time of change counts, unless it is empty. A script should give a \
checkpoint its name
only when it is whole, by a rename: a match that is half written looks like one.
After two crashes in a row the one before it is tried.
In a fixed folder a new run goes on from the checkpoints of an old one; below `{run_dir}` each run \
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

`on`: `finished`; `gave-up`, every end that is final and that nobody asked for; `requeued`, \
every end after which the
run goes on by itself, in the same job or as a successor.
`to`: either `webhook`, the name of a variable among `environment.secrets`, or `mail`, an address.
`shape` says what a webhook is sent: `json` (run, event, cause, reason, step, attempt, job_id, \
text), or a message as
`slack` or `discord` takes it.

The job script sends at the end of an attempt, from the first node, by `curl`, \
or by the node's `mail` or `sendmail`.
Where the node has no mail program, Slurm is asked to mail the end of that last job (`finished`, \
`gave-up`; to one
address, and only where the spec has no `mail-type` of its own); else the log says that nobody was \
told.
All notices together have five seconds, two where Slurm's kill is on its way, \
and no failure changes how the attempt
ends. A webhook's address stands in no file, no log and no process list:
sbatch hands the variable over, and curl reads it from a pipe.
An attempt that is killed outright, as by a node's failure, tells nobody: \
the next one does it when it begins.
`clusterrun notify --test JOB.yaml` sends a test from where it is typed.

Slurm's own mail, `slurm: {mail-user: ..., mail-type: ...}`, knows jobs, not runs:
its END is no "finished", and its REQUEUE does not come where a successor goes on.
"""
