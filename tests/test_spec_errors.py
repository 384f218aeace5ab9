"""Wrong specs, and the whole of what the user is told: file:line: key: what is wrong, and a hint where there is one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clusterrun.errors import SpecError
from clusterrun.prepare import Request
from clusterrun.spec import load_spec
from clusterrun.validate import validate

# What stands in the tables below as <NAME>.
WORDS = {
    "TIMES": "minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes[:seconds]",
    "MEMORY": "a whole number with K, M, G or T; without a unit it is megabytes",
    "ONE_LINE": "in the value; a value is one line of visible characters",
    "DELETE": "delete it; a whole config file is used as it is by accelerate.config_file",
    "ONE_TASK": "not taken: accelerate launch starts the processes of a node; Slurm must start one task a node",
    "KEYS": "accelerate, args, checkpoint, command, environment, hang, module, name, node_check, notify, requeue, script, share, slurm",
    "NOTHING": "nothing to run\n  hint: give script: train.py, or module:, or command:",
    "NAME": "a name: letters, digits, '.', '_' and '-', at most 64",
    "TYPES": "NO, MULTI_CPU, MULTI_GPU, MULTI_NPU, MULTI_MLU, MULTI_XPU, MULTI_HPU, DEEPSPEED, FSDP, MEGATRON_LM",
    "TAB": "\t",
    "ARRAY": "is not the numbers of an array: 0-3, 1,3,5, 0-15:4; %2 behind them for two at once",
    "ONCE": "not taken: the command is run once on each node; Slurm must start one task a node",
    "ITSELF": "let the command start its processes by itself, and ask for cpus-per-task or gpus-per-node",
    "ALIASES": "more values than a job spec needs (an alias of aliases?)",
}

# The second line of a spec, below `script: train.py`; indented, what is said of it, without its `job.yaml:2: `.
LINES = r"""
# keys that do not exist, at every level
acelerate: {}
  acelerate: no such field
    hint: did you mean accelerate?
run_root: /scratch
  run_root: no such field
    hint: known here: <KEYS>
1: 2
  1: no such field
    hint: known here: <KEYS>
slurm: {gpus-per-nod: 4}
  slurm.gpus-per-nod: no such field
    hint: did you mean gpus-per-node?
slurm: {cpus_per_tsk: 4}
  slurm.cpus_per_tsk: no such field
    hint: did you mean cpus-per-task?
slurm: {zzzz: 4}
  slurm.zzzz: no such field
    hint: an sbatch option newer than this list goes under slurm.additional_parameters
accelerate: {mixed-precison: bf16}
  accelerate.mixed-precison: no such field
    hint: did you mean mixed_precision?
environment: {module: [cuda]}
  environment.module: no such field
    hint: did you mean modules?
checkpoint: {evry: 10min}
  checkpoint.evry: no such field
    hint: did you mean every?
requeue: {max: 3}
  requeue.max: no such field
    hint: known here: by, crashes, on, shrink_after, shrink_to
# keys that stand twice
script: other.py
  script: stands twice, first on line 1
    hint: keep one of them
slurm: {nodes: 1, nodes: 2}
  slurm.nodes: stands twice, first on line 2
    hint: keep one of them
slurm: {gpus-per-node: 4, gpus_per_node: 4}
  slurm.gpus_per_node: stands twice, once with dashes and once with underscores
    hint: keep one of them
# what runs, and its name
module: pkg.train
  module: stands beside script; a run has one of them
    hint: keep one
command: python x.py
  command: stands beside script; a run has one of them
    hint: keep one
name: tiny gpt2
  name: 'tiny gpt2' is not <NAME>
name: -x
  name: '-x' is not <NAME>
name: [a]
  name: must be one line of text, got a list
# sections that are none
slurm: []
  slurm: must be a mapping, got a list
requeue: 3
  requeue: must be a mapping, got a number
environment: yes
  environment: must be a mapping, got text
# sbatch's values
slurm: {time: 12h}
  slurm.time: '12h' is not a time of sbatch: <TIMES>
slurm: {time: 1:2:3:4}
  slurm.time: '1:2:3:4' is not a time of sbatch: <TIMES>
slurm: {time: 1-}
  slurm.time: '1-' is not a time of sbatch: <TIMES>
slurm: {time: -5}
  slurm.time: '-5' is not a time of sbatch: <TIMES>
slurm: {time-min: soon}
  slurm.time-min: 'soon' is not a time of sbatch: <TIMES>
slurm: {time: 00:00:00}
  slurm.time: a time limit of zero; sbatch would read it as no limit: write UNLIMITED if you mean that
slurm: {mem: 16 GB}
  slurm.mem: '16 GB' is not an amount of memory: <MEMORY>
slurm: {mem-per-cpu: 1.5G}
  slurm.mem-per-cpu: '1.5G' is not an amount of memory: <MEMORY>
slurm: {mem: 4G, mem-per-gpu: 2G}
  slurm.mem-per-gpu: sbatch takes one of mem, mem-per-cpu and mem-per-gpu
    hint: keep one
slurm: {nodes: 4-1}
  slurm.nodes: 4-1 has no number in it: it ends before it begins
slurm: {nodes: 0}
  slurm.nodes: '0' is not a number of nodes: a whole number from 1 up, or a range such as 2-8
slurm: {nodes: ²}
  slurm.nodes: '²' is not a number of nodes: a whole number from 1 up, or a range such as 2-8
slurm: {cpus-per-task: 0}
  slurm.cpus-per-task: must be at least 1, got 0
slurm: {cpus-per-task: 1e3}
  slurm.cpus-per-task: must be a whole number, got 1e3
slurm: {cpus-per-gpu: '8'}
  slurm.cpus-per-gpu: must be a whole number, got '8'
slurm: {cpus-per-gpu: true}
  slurm.cpus-per-gpu: must be a whole number, got true
slurm: {cpus-per-task: 2000000}
  slurm.cpus-per-task: must be at most 1000000, got 2000000
slurm: {gpus-per-node: four}
  slurm.gpus-per-node: 'four' is not a number of GPUs: 4, or a100:4
slurm: {gpus: 'a100:'}
  slurm.gpus: 'a100:' is not a number of GPUs: 4, or a100:4
slurm: {gpus-per-task: 0}
  slurm.gpus-per-task: '0' is not a number of GPUs: 4, or a100:4
slurm: {gpus: 3, nodes: 2}
  slurm.gpus: 3 GPUs do not divide over 2 nodes; each needs the same number
    hint: gpus counts all nodes; gpus-per-node counts one
slurm: {signal: B:USR1@9}
  slurm.signal: 'B:USR1@9': the script listens to USR1 on each node: USR1@<seconds>
slurm: {signal: TERM@60}
  slurm.signal: 'TERM@60': the script listens to USR1 on each node: USR1@<seconds>
slurm: {signal: USR1}
  slurm.signal: 'USR1': the script listens to USR1 on each node: USR1@<seconds>
slurm: {partition: ''}
  slurm.partition: empty; leave the key out or give it a value
slurm: {partition: [gpu]}
  slurm.partition: must be one line of text, got a list
slurm: {comment: ''}
  slurm.comment: empty; leave the key out or give it a value
slurm: {comment: {a: 1}}
  slurm.comment: must be one line of text, got a mapping
slurm: {comment: "a\nb"}
  slurm.comment: newline (U+000A) <ONE_LINE>
slurm: {array: 0..3}
  slurm.array: '0..3' <ARRAY>
slurm: {array: '0,'}
  slurm.array: '0,' <ARRAY>
slurm: {array: 0-7%0}
  slurm.array: '0-7%0' <ARRAY>
slurm: {array: 0-7:0}
  slurm.array: '0-7:0' <ARRAY>
slurm: {array: '1,7-3'}
  slurm.array: 7-3 has no number in it: it ends before it begins
slurm: {array: [0, 1]}
  slurm.array: must be one line of text, got a list
requeue: {by: resubmit}
  requeue.by: must be one of auto, requeue, successor; got 'resubmit'
node_check: {command: true}
  node_check: must be shell lines, or false for none, got a mapping
node_check: "true\a"
  node_check: control character (U+0007) in line 1
# options that a spec may not set, each with its reason
slurm: {output: log.txt}
  slurm.output: not taken: each attempt's output lies in the run folder; `clusterrun logs` shows it
slurm: {job_name: x}
  slurm.job-name: not taken: the job is called what `name` says
slurm: {export: ALL}
  slurm.export: not taken: variables go to environment.variables, names of secrets to environment.secrets
slurm: {requeue: true}
  slurm.requeue: not taken: the `requeue` section says when the run continues
slurm: {uid: 3, wrap: hostname}
  slurm.uid: not taken: a job runs as the user who submits it
  slurm.wrap: not taken: the script is made from the spec; use `command` to run a line as written
slurm: {ntasks: 4, ntasks-per-node: 2}
  slurm.ntasks: <ONE_TASK>
  slurm.ntasks-per-node: <ONE_TASK>
slurm: {ntasks-per-gpu: 1}
  slurm.ntasks-per-gpu: <ONE_TASK>
# the door for options that are newer than this list
slurm: {additional_parameters: 5}
  slurm.additional_parameters: must be a mapping, got 5
slurm: {additional_parameters: {partition: gpu}}
  slurm.additional_parameters.partition: known: it belongs directly under slurm
slurm: {additional_parameters: {Open-Mode: truncate}}
  slurm.additional_parameters.Open-Mode: not taken: Slurm's own lines are appended, so that a requeue keeps them
slurm: {additional_parameters: {outp: x}}
  slurm.additional_parameters.outp: sbatch would read it as output
    hint: write whole names
slurm: {additional_parameters: {a b: x}}
  slurm.additional_parameters.a b: not the long name of an sbatch option
slurm: {additional_parameters: {newest: [1]}}
  slurm.additional_parameters.newest: must be one line of text, got a list
# accelerate's words
accelerate: {machine_rank: 0, num_machines: 2}
  accelerate.machine_rank: the job script sets it: each node's own number, known only there
    hint: <DELETE>
  accelerate.num_machines: the job script sets it: it is slurm.nodes
    hint: <DELETE>
accelerate: {gpu_ids: all}
  accelerate.gpu_ids: the job script sets it: Slurm gives the GPUs
    hint: <DELETE>
accelerate: {main_process_port: 29500}
  accelerate.main_process_port: the job script sets it: a port that is free on the first node, known only there
    hint: <DELETE>
accelerate: {config_file: a.yaml, mixed_precision: bf16}
  accelerate.mixed_precision: stands beside config_file, which is used unchanged
    hint: write it into that file, or drop config_file
accelerate: {deepspeed_config: {zero_stage: 2}, fsdp_config: {fsdp_version: 2}}
  accelerate.fsdp_config: stands beside deepspeed_config; one strategy trains a run
    hint: keep one
accelerate: {mixed_precision: bf17}
  accelerate.mixed_precision: must be one of no, fp16, bf16, fp8; got 'bf17'
    hint: did you mean bf16?
accelerate: {distributed_type: FSDP2}
  accelerate.distributed_type: must be one of <TYPES>; got 'FSDP2'
    hint: did you mean FSDP?
accelerate: {gradient_accumulation_steps: 0}
  accelerate.gradient_accumulation_steps: must be at least 1, got 0
accelerate: {deepspeed_config: zero2.json}
  accelerate.deepspeed_config: must be a mapping, got 'zero2.json'
    hint: deepspeed_config: {deepspeed_config_file: zero2.json}
accelerate: {use_cpu: perhaps}
  accelerate.use_cpu: must be true or false, got 'perhaps'
# environment
environment: {venv: .venv, conda: base}
  environment.conda: stands beside venv; a shell has one Python
    hint: keep one
environment: {variables: {A-B: x}}
  environment.variables.A-B: 'A-B' is not the name of an environment variable
environment: {variables: {run_dir: /tmp}}
  environment.variables.run_dir: run_dir is a variable of the job script itself; use another name
environment: {variables: {A: null}}
  environment.variables.A: must be one line of text, got nothing
environment: {variables: [A]}
  environment.variables: must be a mapping, got a list
environment: {secrets: [A=b]}
  environment.secrets[0]: 'A=b' is not the name of an environment variable
environment: {secrets: HF_TOKEN}
  environment.secrets: must be a list, got 'HF_TOKEN'
environment: {secrets: [B, A], variables: {A: hf_abc}}
  environment.secrets[1]: A stands in variables, too
    hint: delete it there
environment: {modules: ['']}
  environment.modules[0]: empty; leave the key out or give it a value
environment: {setup: [3]}
  environment.setup[0]: must be one line of text, got 3
environment: {setup: "true\n\a"}
  environment.setup[0]: control character (U+0007) in line 2
environment: {setup: ['true \']}
  environment.setup[0]: ends with a backslash, which would join it to the script's next line
# checkpoint and requeue
checkpoint: {every: 10}
  checkpoint.every: '10' is not an interval: 10min, 90s, 2h, 500 steps, or auto
checkpoint: {every: automatic}
  checkpoint.every: 'automatic' is not an interval: 10min, 90s, 2h, 500 steps, or auto
checkpoint: {every: 0min}
  checkpoint.every: an interval of zero
checkpoint: {every: 1.5 steps}
  checkpoint.every: '1.5 steps': a whole number of steps
checkpoint: {keep: 0}
  checkpoint.keep: must be at least 1, got 0
checkpoint: {path: ''}
  checkpoint.path: empty; leave the key out or give it a value
checkpoint: {path: -x*}
  checkpoint.path: '-x*' would be read as an option: a path may begin with ./
checkpoint: {path: ~/out/checkpoint-*}
  checkpoint.path: '~/out/checkpoint-*': neither ~ nor a variable is expanded here
    hint: write the whole path, or one relative to the working folder; {run_dir} is the run's own folder
checkpoint: {path: '/scratch/$USER/*'}
  checkpoint.path: '/scratch/$USER/*': neither ~ nor a variable is expanded here
    hint: write the whole path, or one relative to the working folder; {run_dir} is the run's own folder
checkpoint: {path: 'out/checkpoint-{step}'}
  checkpoint.path: {step} stands for nothing here
    hint: {run_dir} is what is filled in
checkpoint: {resume: '--resume {checkpoint}'}
  checkpoint.resume: there is no checkpoint.path to say where checkpoints lie
    hint: say path: out/checkpoint-*; with clusterrun.training leave both out
checkpoint: {path: out/*, resume: --resume}
  checkpoint.resume: has no {checkpoint}, the newest one
    hint: --resume_from_checkpoint {checkpoint}, or whatever the script reads
checkpoint: {async_save: async}
  checkpoint.async_save: must be true or false, got 'async'
checkpoint: {path: out/*, async_save: true}
  checkpoint.async_save: checkpoint.path says that the script saves by itself
    hint: leave one of the two out
checkpoint: {path: out/*, resume: ''}
  checkpoint.resume: empty; false appends nothing to the arguments
checkpoint: {path: out/*, resume: '--resume {checkpoint} --at {step}'}
  checkpoint.resume: {step} stands for nothing here
    hint: {checkpoint} is what is filled in
checkpoint: {path: out/*, resume: "--resume '{checkpoint}"}
  checkpoint.resume: "--resume '{checkpoint}" is no shell words: no closing quotation
checkpoint: {path: out/*, resume: [--resume, [x]]}
  checkpoint.resume[1]: must be one line of text, got a list
checkpoint: {path: out/*, resume: ["--resume={checkpoint}\n"]}
  checkpoint.resume[0]: newline (U+000A) <ONE_LINE>
checkpoint: {path: out/*, resume: "--resume\n{checkpoint}"}
  checkpoint.resume: newline (U+000A) <ONE_LINE>
checkpoint: {path: out/*, resume: true}
  checkpoint.resume: must be a list, got true
checkpoint: {signal: KILL}
  checkpoint.signal: must be one of USR1, USR2, TERM, INT, HUP; got 'KILL'
checkpoint: {signal: SIGUSR}
  checkpoint.signal: must be one of USR1, USR2, TERM, INT, HUP; got 'USR'
    hint: did you mean USR2?
checkpoint: {signal: 10}
  checkpoint.signal: must be one of USR1, USR2, TERM, INT, HUP; got 10
requeue: {on: preemption}
  requeue.on: must be a list, got 'preemption'
requeue: {on: [crash, preemtion]}
  requeue.on[1]: must be one of preemption, time-limit, node-failure, crash, hang; got 'preemtion'
    hint: did you mean preemption?
requeue: {crashes: -1}
  requeue.crashes: must be at least 0, got -1
requeue: {crashes: 2.5}
  requeue.crashes: must be a whole number, got 2.5
# sharing
share: world
  share: must be one of group; got 'world'
share: true
  share: must be one of group; got true
# arguments
args: --lr 3
  args: must be a mapping of flags or a list of words, got text
args: {lr: {a: 1}}
  args.lr: must be one line of text, got a mapping
args: {lr: [1, [2]]}
  args.lr: must be one line of text, got a list
args: [--lr, true]
  args[1]: must be one line of text, got true or false
args: {lr: "3\u2028"}
  args.lr: line separator (U+2028) <ONE_LINE>
args: {learning rate: 3}
  args.learning rate: not the name of a command-line flag
    hint: a list under args is passed on word by word
"""

# Whole files, and all that is said of them.
FILES = r"""
== a successor for the tasks of an array
script: train.py
slurm: {array: 0-3}
requeue: {by: successor}
-->
job.yaml:3: requeue.by: stands beside slurm.array; a job queued for one task would not be of the array
  hint: leave it out: the tasks of an array go on by requeue
== nothing to run
name: tiny
-->
job.yaml:1: <NOTHING>
== a misspelt script is not also a missing one
scrip: a.py
-->
job.yaml:1: scrip: no such field
  hint: did you mean script?
== an empty file

-->
job.yaml: an empty file
  hint: the shortest spec is: script: train.py
== only a comment
# later

-->
job.yaml: an empty file
  hint: the shortest spec is: script: train.py
== a list
- script: a.py
-->
job.yaml:1: a job spec is a mapping of keys, got a list
== a text
train.py
-->
job.yaml:1: a job spec is a mapping of keys, got text
== YAML that ends too soon
script: a.py
args: [1,
-->
job.yaml:3: not YAML: did not find expected node content
== a tab
script: a.py
slurm:
<TAB>nodes: 2
-->
job.yaml:3: not YAML: found character that cannot start any token
  hint: indent with spaces; YAML does not take tabs
== an indentation
script: a.py
 nodes: 2
-->
job.yaml:2: not YAML: mapping values are not allowed in this context
== two documents
script: a.py
---
script: b.py
-->
job.yaml:2: not YAML: but found another document
== an alias without an anchor
script: *name
-->
job.yaml:1: not YAML: found undefined alias
== a Python object
script: !!python/name:os.system a.py
-->
job.yaml:1: script: the tag tag:yaml.org,2002:python/name:os.system is not read
  hint: write the plain value
== a key that is no word
script: a.py
? [a]
: 1
-->
job.yaml:2: a key must be a word
== a merge of what has no keys
script: a.py
<<: 3
-->
job.yaml:2: << takes one mapping
== an alias that holds itself
args: &a [*a]
-->
job.yaml:1: <ALIASES>
== arguments of a command
command: python a.py
args: {lr: 1}
-->
job.yaml:2: args: a command is run as written
  hint: write the arguments into it
== accelerate around a command
command: python a.py
accelerate: {debug: true}
-->
job.yaml:2: accelerate: a command is run without accelerate
  hint: use script or module, or delete this
== a command in several tasks
command: python a.py
slurm: {ntasks: 4, additional_parameters: {ntasks-per-node: 2}}
-->
job.yaml:2: slurm.additional_parameters.ntasks-per-node: <ONCE>
  hint: <ITSELF>
job.yaml:2: slurm.ntasks: <ONCE>
  hint: <ITSELF>
== words to resume a command
command: python a.py
checkpoint: {path: out/*, resume: '--resume {checkpoint}'}
-->
job.yaml:2: checkpoint.resume: a command is run as written, and nothing is appended to it
  hint: write "$CLUSTERRUN_CHECKPOINT" into it: the newest one, empty before the first
== checkpoints of an array in one folder
script: a.py
slurm: {array: 0-3}
checkpoint:
  path: out/checkpoint-*
-->
job.yaml:4: checkpoint.path: the tasks of slurm.array would go on from each other's checkpoints
  hint: {run_dir} is each task's own folder, CLUSTERRUN_RUN_DIR to the script
== an empty command
command: ''
-->
job.yaml:1: command: empty; leave the key out or give it a value
== a command that goes on in the script
command: echo \
-->
job.yaml:1: command: ends with a backslash, which would join it to the script's next line
== a script that is an option
script: -m
-->
job.yaml:1: script: '-m' would be read as an option: a path may begin with ./
== a key with a newline
script: a.py
accelerate: {fsdp_config: {"a\nb": 1}}
-->
job.yaml:2: accelerate.fsdp_config.'a\nb': newline (U+000A) <ONE_LINE>
== processes that do not divide over the nodes
script: a.py
slurm: {nodes: 2}
accelerate: {num_processes: 5}
-->
job.yaml:3: accelerate.num_processes: 5 processes do not divide over 2 nodes
  hint: it counts all processes; 4 would do
== processes that are not the GPUs
script: a.py
slurm: {nodes: 2, gres: gpu:a100:4}
accelerate: {num_processes: 4}
-->
job.yaml:3: accelerate.num_processes: 4 processes, but 2 x 4 GPUs are asked for
  hint: delete it: processes are counted from the GPUs that Slurm gives
== several mistakes, in the order of the file
name: x{{
slurm:
  time: 12h
  nodes: none
args: {lr: {a: 1}}
bogus: 1
checkpoint:
  keep: none
-->
job.yaml:1: <NOTHING>
job.yaml:1: name: 'x{{' is not <NAME>
job.yaml:3: slurm.time: '12h' is not a time of sbatch: <TIMES>
job.yaml:4: slurm.nodes: 'none' is not a number of nodes: a whole number from 1 up, or a range such as 2-8
job.yaml:5: args.lr: must be one line of text, got a mapping
job.yaml:6: bogus: no such field
  hint: known here: <KEYS>
job.yaml:8: checkpoint.keep: must be a whole number, got 'none'
"""

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
LARGE = [
    ("script: a\0b", "job.yaml: not YAML: unacceptable character #x0000: control characters are not allowed"),
    (BOMB, "job.yaml:1: <ALIASES>"),
    ("args: " + "[" * 100_000, "job.yaml:1: nested more than 50 deep"),
    ("script: " + "a" * 2_000_000, "job.yaml: 2000008 characters; a job spec has at most 1000000"),
]

OVERRIDES = [
    ("nodes", "--set: 'nodes' is not key=value, such as slurm.nodes=4"),
    ("=4", "--set: '=4' is not key=value, such as slurm.nodes=4"),
    ("slurm.=4", "--set: 'slurm.=4' is not key=value, such as slurm.nodes=4"),
    (
        "slurm.nodes=two",
        "--set slurm.nodes: slurm.nodes: 'two' is not a number of nodes: a whole number from 1 up, or a range such as 2-8",
    ),
    ("slurm.nods=2", "--set slurm.nods: slurm.nods: no such field\n  hint: did you mean nodes?"),
    ("slurm=2", "--set slurm: slurm: must be a mapping, got a number"),
    ("name='x", "--set name: not YAML: found unexpected end of stream"),
    ("args.lr=3", "--set args.lr: args.lr: args is a list of words here, so one flag cannot be set"),
    ("script=null", "job.yaml:1: <NOTHING>"),
]

SITE_KEYS = "accelerate, checkpoint, environment, gpu_memory, hang, notify, requeue, run_root, share, slurm"
PROFILES = [
    ("script: a.py", f"site.yaml:1: script: a profile has no script\n  hint: known here: {SITE_KEYS}"),
    ("\nslurm: {nod: 3}", "site.yaml:2: slurm.nod: no such field\n  hint: did you mean nodes?"),
    ("slurm: {time: 1d}", "site.yaml:1: slurm.time: '1d' is not a time of sbatch: <TIMES>"),
    ("run_root: [a]", "site.yaml:1: run_root: must be one line of text, got a list"),
    ('run_root: "a\\nb"', "site.yaml:1: run_root: newline (U+000A) <ONE_LINE>"),
    ("- a", "site.yaml:1: a profile is a mapping of keys, got a list"),
    ("a: {b c", "site.yaml:2: not YAML: did not find expected ',' or '}'"),
]


def filled(text: str) -> str:
    """Put the words in place of their names."""
    for name, words in WORDS.items():
        text = text.replace(f"<{name}>", words)
    return text


def lines() -> list[tuple[str, str]]:
    """The cases of LINES: the line, and the whole of what is said of it."""
    found: list[tuple[str, str]] = []
    for row in LINES.strip().splitlines():
        if row.startswith("  "):
            said = f"  {row.strip()}" if row.startswith("    ") else f"job.yaml:2: {row.strip()}"
            found[-1] = (found[-1][0], f"{found[-1][1]}{said}\n")
        elif not row.startswith("#"):
            found.append((row, ""))
    return [(line, filled(said).rstrip("\n")) for line, said in found]


def files() -> list[tuple[str, str, str]]:
    """The cases of FILES: what it is, the text, and the whole of what is said of it."""
    found = []
    for block in FILES.strip().split("== ")[1:]:
        title, _, rest = block.partition("\n")
        text, _, said = rest.partition("\n-->\n")
        found.append((title, filled(text), filled(said.rstrip("\n"))))
    return found


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(text: str | bytes, **options) -> str:
    """Write a spec and return the whole of what is said about it."""
    Path("job.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SpecError) as raised:
        load_spec("job.yaml", **options)
    return str(raised.value)


@pytest.mark.parametrize(("line", "expected"), lines(), ids=[case[0] for case in lines()])
def test_a_wrong_line(line, expected):
    """A mistake is told with its file, line, key, what is wrong, and the way out where one is known."""
    assert told(f"script: train.py\n{line}\n") == expected


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in files()], ids=[case[0] for case in files()])
def test_a_wrong_file(text, expected):
    """What is wrong with a whole file is told once, without what only follows from it."""
    assert told(text) == expected


@pytest.mark.parametrize(("text", "expected"), LARGE, ids=["NUL", "alias bomb", "brackets", "2 MB"])
def test_a_file_that_no_editor_made(text, expected):
    """A file made to overrun the reader is refused with one line."""
    assert told(text) == filled(expected)


@pytest.mark.parametrize(("override", "expected"), OVERRIDES)
def test_a_wrong_override(override, expected):
    """A mistake in --set is told under the --set that made it."""
    assert told("script: train.py\nargs: [--lr, 3]\n", overrides=[override]) == filled(expected)


@pytest.mark.parametrize(("profile", "expected"), PROFILES)
def test_a_wrong_profile(profile, expected):
    """A mistake in the site's profile is told at the profile's line."""
    Path("site.yaml").write_text(profile)
    assert told("script: train.py\n", profile="site.yaml") == filled(expected)


def test_what_is_missing_is_missing_from_the_spec():
    """A spec without anything to run is told so at its own line, also where a profile lies under it."""
    Path("site.yaml").write_text("slurm: {partition: gpu}\n")
    assert told("name: tiny\n", profile="site.yaml") == filled("job.yaml:1: <NOTHING>")


def test_mistakes_of_all_layers_are_told_together():
    """Mistakes in --set, the spec and the profile are all told before anything else happens."""
    Path("site.yaml").write_text("checkpoint: {keep: 0}\n")
    text = told("script: a.py\nslurm: {nodes: x}\n", profile="site.yaml", overrides=["name=a b", "bad"])
    assert text == filled(
        "--set: 'bad' is not key=value, such as slurm.nodes=4\n"
        "--set name: name: 'a b' is not <NAME>\n"
        "job.yaml:2: slurm.nodes: 'x' is not a number of nodes: a whole number from 1 up, or a range such as 2-8\n"
        "site.yaml:1: checkpoint.keep: must be at least 1, got 0"
    )


def test_files_that_cannot_be_read():
    """A file that is not there, is a folder, or is not UTF-8 is told by its name."""
    assert told(b"script: \xff") == "job.yaml: not UTF-8 text: byte 8 is 0xff"
    for name, expected in {
        "nowhere.yaml": "nowhere.yaml: no such file or directory\n  hint: give the path of a job spec",
        ".": ".: is a directory",
    }.items():
        with pytest.raises(SpecError) as raised:
            load_spec(name)
        assert str(raised.value) == expected


def test_a_file_whose_name_is_no_name():
    """A spec without a name takes the file's, and says so where that cannot be one."""
    Path("my job.yaml").write_text("script: a.py\n")
    with pytest.raises(SpecError) as raised:
        load_spec("my job.yaml")
    what = "name: the file's name gives 'my job', which is not <NAME>\n  hint: give the run a name"
    assert str(raised.value) == filled(f"my job.yaml:1: {what}")


def test_values_longer_than_one_argument():
    """A value that Linux would not take as an argument is refused with its size and the limit."""
    value = "é" * 40_000
    what = "80000 bytes; at most 65535, so that the command line fits: use a file"
    assert told(f"script: a.py\nargs: {{lr: {value}}}\n") == f"job.yaml:2: args.lr: {what}"


def refused(text: str, *, templates: tuple[str, ...] = ()) -> str:
    """Write a spec and return the whole of what `validate` says about it."""
    Path("job.yaml").write_text(text)
    request = Request("job.yaml", templates=templates, environment={"HOME": str(Path.cwd())}, cwd=Path.cwd())
    with pytest.raises(SpecError) as raised:
        validate(request)
    return str(raised.value)


def test_files_that_a_spec_names_and_that_are_not_there(folder):
    """Every file that the spec names is looked for, and each is told at its own line."""
    text = "script: train.py\nenvironment: {venv: .venv}\naccelerate:\n  config_file: zero2.yaml\n"
    hint = "  hint: a relative path begins at slurm.chdir, or where the command is typed"
    assert refused(text) == (
        f"job.yaml:1: script: no such file: {folder}/train.py\n{hint}\n"
        f"job.yaml:2: environment.venv: no such virtual environment: {folder}/.venv\n{hint}\n"
        f"job.yaml:4: accelerate.config_file: no such file: {folder}/zero2.yaml\n{hint}"
    )
    Path("train.py").touch()
    assert refused("script: train.py\nslurm: {chdir: gone}\n") == (
        f"job.yaml:1: script: no such file: {folder}/gone/train.py\n{hint}\n"
        f"job.yaml:2: slurm.chdir: no such folder: {folder}/gone\n{hint}"
    )
    deepspeed = "script: train.py\naccelerate: {deepspeed_config: {deepspeed_config_file: ds.json}}\nslurm: {gpus-per-node: 2}\n"
    where = "accelerate.deepspeed_config.deepspeed_config_file"
    assert refused(deepspeed) == f"job.yaml:2: {where}: no such file: {folder}/ds.json\n{hint}"


SPEC = "job.yaml:3: accelerate.config_file: "
NO_TYPE = SPEC + "{path} is not an accelerate config: it has no distributed_type"
IS_JSON = SPEC + "{path} is a DeepSpeed JSON, and no accelerate config"
DEEPSPEED = "a DeepSpeed JSON goes under accelerate.deepspeed_config.deepspeed_config_file"
ALONE = "config:1: distributed_type: NO starts independent processes, each a world of one"
CONFIGS = [
    (json.dumps({"zero_optimization": {"stage": 2}}), f"{IS_JSON}\n  hint: {DEEPSPEED}"),
    ("num_processes: 2\n", f"{NO_TYPE}\n  hint: {DEEPSPEED}"),
    ("distributed_type: 'NO'\n", f"{ALONE}\n  hint: distributed_type: MULTI_GPU, with use_cpu: true on CPUs"),
    ("distributed_type: [", SPEC + "{path} cannot be read: while parsing a flow node"),
    ("when: 2001-13-45\n", SPEC + "{path} cannot be read: month must be in 1..12"),
]


@pytest.mark.parametrize(("config", "expected"), CONFIGS)
def test_a_config_file_that_accelerate_could_not_use(folder, config, expected):
    """accelerate's config file is read before the job waits in a queue."""
    Path("train.py").touch()
    Path("config").write_text(config)
    text = refused("script: train.py\nslurm: {nodes: 2}\naccelerate: {config_file: config}\n")
    assert text == expected.format(path=folder / "config")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("if true", "line 2: syntax error: unexpected end of file"),
        ("echo 'a", "line 1: unexpected EOF while looking for matching `''"),
        ("cat <<END", "line 1: warning: here-document at line 1 delimited by end-of-file (wanted `END')"),
        ("}", "line 1: syntax error near unexpected token `}'"),
    ],
)
def test_shell_lines_that_bash_cannot_read(line, fault):
    """A shell line of the user is read by bash before it waits in a queue."""
    spec = "command: 'true'\nenvironment:\n  setup:\n"
    where = "environment.setup[0]"
    assert refused(f"{spec}  - {json.dumps(line)}\n") == f"job.yaml:4: {where}: bash cannot read it: {fault}"
    assert refused(f"command: {json.dumps(line)}\n") == f"job.yaml:1: command: bash cannot read it: {fault}"


def test_a_template_folder_that_is_not_there():
    """A misspelt --templates is told, instead of the usual script being made."""
    Path("train.py").touch()
    text = refused("script: train.py\n", templates=("tempaltes",))
    assert text == "--templates: no such folder: tempaltes"


def test_a_command_that_is_too_long_for_its_node():
    """What one argument of srun cannot hold is refused here, not on the node."""
    Path("train.py").touch()
    quotes = "'" * 60_000
    text = refused(f"script: train.py\nargs: {{lr: {json.dumps(quotes)}}}\n")
    assert text.startswith("job.yaml: the command of a node and its config have 300")
    assert text.endswith("quoted; there is room for 120319\n  hint: put long values into a file")


def told_by_validate(text: str) -> str:
    """Return all that `validate` says of a spec, in a folder without a script."""
    Path("job.yaml").write_text(text)
    with pytest.raises(SpecError) as raised:
        validate(Request("job.yaml", environment={}, own_python=False))
    return str(raised.value)


CHDIR = "  hint: a relative path begins at slurm.chdir, or where the command is typed"
NO_SCRIPT = f"job.yaml:1: script: no such file: {{folder}}/train.py\n{CHDIR}\n"
TOGETHER = {
    "files and keys": (
        "accelerate: {mixed_precision: bf17, deepspeed_config: {zero_stag: 3}}\nenvironment: {venv: nowhere}",
        f"{NO_SCRIPT}job.yaml:2: accelerate.deepspeed_config.zero_stag: accelerate knows no such key, and says nothing\n"
        "  hint: did you mean zero_stage?\n"
        "job.yaml:2: accelerate.mixed_precision: must be one of no, fp16, bf16, fp8; got 'bf17'\n"
        "  hint: did you mean bf16?\n"
        f"job.yaml:3: environment.venv: no such virtual environment: {{folder}}/nowhere\n{CHDIR}",
    ),
    "the whole strategy": (
        "checkpoint: {keep: 0}\nslurm: {gpus: 4}\n"
        "accelerate: {fsdp_config: {fsdp_version: 2, fsdp_offload: 1}, num_processes: 3}",
        f"{NO_SCRIPT}job.yaml:2: checkpoint.keep: must be at least 1, got 0\n"
        "job.yaml:4: accelerate.fsdp_config.fsdp_offload: accelerate knows no such key, and says nothing\n"
        "  hint: did you mean fsdp_offload_params?\n"
        "job.yaml:4: accelerate.num_processes: 3 processes, but 1 x 4 GPUs are asked for\n"
        "  hint: delete it: processes are counted from the GPUs that Slurm gives",
    ),
    "not FSDP without GPUs": (
        "slurm: {gpus-per-nod: 4}\naccelerate: {fsdp_config: {fsdp_version: 2}}",
        f"{NO_SCRIPT}job.yaml:2: slurm.gpus-per-nod: no such field\n  hint: did you mean gpus-per-node?",
    ),
    "not a script elsewhere": (
        "slurm: {chdr: elsewhere}", "job.yaml:2: slurm.chdr: no such field\n  hint: did you mean chdir?",
    ),
    "not what a lost section says": (
        "slrum: {chdir: elsewhere}", "job.yaml:2: slrum: no such field\n  hint: did you mean slurm?",
    ),
    "what is left is no spec": (
        "module: train\nrequeue: {crashes: x}",
        "job.yaml:2: module: stands beside script; a run has one of them\n  hint: keep one\n"
        "job.yaml:3: requeue.crashes: must be a whole number, got 'x'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("lines", "expected"), TOGETHER.values(), ids=TOGETHER)
def test_mistakes_of_form_hide_no_others(lines, expected, folder):
    """Missing files and strategies are told together with mistakes of form, but not what only follows from those."""
    assert told_by_validate(f"script: train.py\n{lines}\n") == expected.replace("{folder}", str(folder))
