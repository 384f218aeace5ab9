"""The folders of a sweep whose members have ended, as submit, the script and training write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clusterrun.results import SweepMember
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.members import write_members
from clusterrun.run_folder.metric_values import MetricLog
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import write_record
from clusterrun.training.records.history import History

Curves = dict[str, list[tuple[int, float]]]


def make_sweep(
    home: Path,
    members: Sequence[tuple[dict[str, str], Curves]],
    metric: str = "",
    name: str = "gpt2",
) -> RunRef:
    """Make a sweep; each member has values, and the steps and values of its metrics by name."""
    run_id = f"{name}-20261121-215156-4a5c"
    paths = RunPaths(home / "runs" / run_id)
    paths.events.mkdir(parents=True)
    tasks = f"0-{len(members) - 1}"
    write_record(
        paths.intent,
        {"run_id": run_id, "number": 1, "array": tasks, "metric": metric, "asked": "1795000000:"},
    )
    write_record(paths.job, {"job_id": 40, "number": 1, "submitted": 1795000000})
    paths.spec.write_text("slurm: {gpus_per_node: '4', nodes: 1}\n")
    listed = [
        SweepMember(number, f"{name}-{number}", values)
        for number, (values, _) in enumerate(members)
    ]
    write_members(paths, listed)
    for number, (_, curves) in enumerate(members):
        _make_member(RunPaths(paths.folder / f"task-{number}"), number, curves)
    run = RunRef(run_id, paths, "40")
    Index({"HOME": str(home)}).add(run)
    return run


def _make_member(paths: RunPaths, number: int, curves: Curves) -> None:
    paths.events.mkdir(parents=True)
    begun = {"job_id": f"40_{number}", "nodes": "n1", "started": 1795000100, "time": 1795000100}
    write_record(paths.begin("0001"), begun)
    end = {"cause": "finished", "next": "end", "exit_code": 0, "ended": 1795003700}
    write_record(paths.end("0001"), end)
    if not curves:
        return
    log, latest = MetricLog(), {}
    history = History(paths.metrics("0001"), paths.times("0001"))
    steps = sorted({step for points in curves.values() for step, _ in points})
    for step in steps:
        for name, points in curves.items():
            if step in dict(points):
                latest[name] = dict(points)[step]
                log.add(name, step, latest[name])
        more = {name: value for name, value in latest.items() if name != "loss"}
        line = {"time": 1795000100.0 + step * 10, "step": step, "loss": latest.get("loss")}
        history.add({**line, "learning_rate": 1e-4, "rate": 100.0, "saving": 0.0, "metrics": more})
    record = {"step": steps[-1], "total": 1000, "loss": latest.get("loss", "")}
    write_record(paths.progress, {**record, **log.as_record()})
