"""All states that can be reached from a submission, breadth first, and what must hold in each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tests.model.people import is_final, people_steps
from tests.model.script import Steps, deciding
from tests.model.slurm import slurm_steps
from tests.model.successor import script_steps
from tests.model.world import Rules, World


class Finding(NamedTuple):
    """A state in which something is wrong, and the shortest way there."""

    what: str
    trace: tuple[str, ...]
    world: World


class Exploration(NamedTuple):
    """The states that were reached, and the first that is wrong."""

    states: int
    finding: Finding | None
    worlds: tuple[World, ...]


def all_steps(world: World, rules: Rules) -> Steps:
    """Return everything that may happen next."""
    steps = slurm_steps(world, rules) + people_steps(world, rules)
    for number, job in world.numbered():
        if job.script:
            steps += [
                (f"job {number} {label}", w) for label, w in script_steps(world, number, rules)
            ]
    return steps


def broken(world: World) -> str:
    """Return what is wrong in a state; empty if nothing is."""
    training = [
        number for number, job in world.numbered() if job.script and job.script.step == "train"
    ]
    if len(training) > 1:
        return "two attempts train at once"
    if training and world.over:
        return f"a run that has ended ({world.over}) trains again"
    if training and world.run.folder == "gone":
        return "a run trains whose folder clean has removed"
    if world.run.folder == "gone" and any(job.active and not job.by_hand for job in world.jobs):
        return "clean has removed a run that has a job"
    for number in training:
        if world.job(number).doom:
            continue
        for another in world.pending(but=number):
            if not world.job(another).by_hand:
                return "a second job of a run that trains is in the queue"
    return ""


def is_quiet(world: World) -> bool:
    """Return whether nothing more happens unless a person does something."""
    scripts = any(job.script for job in world.jobs)
    waiting = any(
        job.state == "pending" and not (job.after and world.job(job.after).active)
        for job in world.jobs
    )
    return not (scripts or waiting or world.commands)


def lost(world: World) -> str:
    """Return how a run is lost in a state in which nothing more happens by itself."""
    if (
        world.over
        or world.run.finished
        or world.run.folder != "here"
        or world.run.cancelled
        or world.active()
    ):
        return ""
    last = deciding(world.run, Rules())
    if world.run.attempt(last).next == "end" and world.run.intent[1] < last:
        return ""
    if not world.harmed:
        return "nothing continues the run, though nobody has cancelled a job"
    if not is_final(world) and not world.interrupted:
        return "nothing continues the run, and its status is not final: it cannot be resumed"
    return ""


def explore(
    events: Mapping[str, int], rules: Rules | None = None, *, most_states: int = 200_000
) -> Exploration:
    """Explore every state, or up to the first that is wrong; `events` says how often each comes."""
    rules = rules or Rules()
    first = World(budget=tuple(sorted(events.items())))
    came: dict[World, tuple[World, str] | None] = {first: None}
    level = [first]
    while level:
        following = []
        for world in level:
            what = broken(world) or (lost(world) if is_quiet(world) else "")
            if what:
                trace = tuple(_way(came, world))[::-1]
                return Exploration(len(came), Finding(what, trace, world), tuple(came))
            for label, after in all_steps(world, rules):
                if after not in came:
                    came[after] = (world, label)
                    following.append(after)
        assert len(came) < most_states, f"{len(came)} states: bound the events"
        level = following
    return Exploration(len(came), None, tuple(came))


def _way(came: Mapping[World, tuple[World, str] | None], world: World) -> Iterator[str]:
    while step := came[world]:
        world, label = step
        yield label
