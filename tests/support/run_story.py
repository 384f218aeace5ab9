"""A run folder with a full history, as submit, script and training write it: for tests and
pictures.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from pathlib import Path

from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import write_record
from clusterrun.training.records.history import History

SPEC = """\
name: gpt2-medium
script: examples/train_causal_lm.py   # <script>document.title = "owned"</script>
slurm: {partition: gpu, nodes: 4, gpus-per-node: 4, time: 24:00:00}
checkpoint: {every: 400 steps, keep: 3}
"""
SCRIPT = "#!/bin/bash\n# </code></pre><img src=http://192.0.2.1/x onerror=\"document.title = 'owned'\">\nmain\n"


@dataclass(frozen=True)
class Part:
    """One attempt: how long it holds its nodes, how it ends, its unsaved steps, and the wait after."""

    seconds: float
    cause: str
    unsaved: int = 0
    wait: float = 0.0


PARTS = (Part(9000, "preemption", wait=2600), Part(7000, "node-failure", 370, 900), Part(1300, "crash", 150, 300),
         Part(15000, "finished"))  # fmt: skip


@dataclass
class StoryTeller:
    """Writes a history into a run folder, starting at `now`, in seconds since the epoch."""

    folder: Path
    now: float
    step: int = 0
    draw: random.Random = field(default_factory=lambda: random.Random(1))

    def tell(self, parts: tuple[Part, ...] = PARTS, queue: float = 1800) -> RunPaths:
        paths = RunPaths(self.folder)
        paths.events.mkdir(parents=True)
        paths.source.write_text(SPEC)
        paths.spec.write_text("slurm: {gpus_per_node: '4'}\n")
        paths.script.write_text(SCRIPT)
        submitted = int(self.now)
        write_record(
            paths.intent, {"run_id": self.folder.name, "number": 1, "asked": f"{submitted}:"}
        )
        write_record(paths.job, {"job_id": 41, "number": 1, "submitted": submitted})
        self.now += queue
        for number, part in enumerate(parts, start=1):
            self._attempt(paths, f"{number:04d}", part)
        return paths

    def _attempt(self, paths: RunPaths, name: str, part: Part) -> None:
        started, resumed = self.now, self.step
        write_record(paths.begin(name), {"job_id": 41, "nodes": "n[1-4]", "began": int(started)})
        write_record(paths.resumed(name), {"checkpoint": "", "step": resumed, "state": "resumed"})
        self._train(paths, name, part)
        self.now = started + part.seconds
        silent = part.cause == "node-failure"
        end = (
            {"ended": int(self.now + part.wait)}
            if silent
            else {"ended": int(self.now), "exit_code": 0}
        )
        last = part.cause == "finished"
        write_record(
            paths.end(name),
            {"cause": part.cause, "next": "end" if last else "continue", "step": self.step, **end},
        )
        self.now += part.wait
        self.step -= part.unsaved

    def _train(self, paths: RunPaths, name: str, part: Part) -> None:
        kept = History(paths.metrics(name), paths.times(name))
        moment, saving, saves = self.now + 240, 0.0, 0
        first, end = moment, self.now + part.seconds - 60
        while moment < end:
            self.step += 10
            kept.add({"time": moment, "step": self.step, "saving": saving, **self._values()})
            if self.step % 400 == 0:
                moment, saving, saves = moment + 12, saving + 12, saves + 1
            moment += 20 + self.draw.random()
        left = {} if part.cause in ("crash", "node-failure") else {"left": moment}
        kept.write_times({"first_step": first, "saving": saving, "saves": saves, **left})
        loss = self._values()["loss"]
        paths.progress.write_text(f"step={self.step}\ntotal=16000\nloss={loss}\nrate=250\n")

    def _values(self) -> dict[str, float]:
        return {
            "loss": 3.2 + 7.5 * math.exp(-self.step / 900) + self.draw.gauss(0, 0.06),
            "learning_rate": 3e-4
            * min(1, self.step / 500)
            * (0.5 + 0.5 * math.cos(min(self.step / 17000, 1) * math.pi)),
            "rate": 250 + self.draw.gauss(0, 6),
        }
