"""Slurm's reasons for a pending job, as a table.

`{job}`, `{partition}` and `{run}` are placeholders. Source: squeue(1), JOB REASON CODES;
slurm.conf(5), sacctmgr(1).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """What a reason means, in a sentence, and what the user can do."""

    meaning: str
    fix: str
    temporary: bool = True
    """Whether it can pass without anybody doing something."""


REASONS = {
    "None": Reason("Slurm has not looked at the job yet", "ask again in a minute"),
    "SchedDefer": Reason(
        "Slurm looks at jobs later (SchedulerParameters=defer)", "ask again in a minute"
    ),
    "Resources": Reason(
        "it is the next of its priority, and waits until enough nodes, CPUs, GPUs and memory are "
        "free",
        "wait; fewer nodes or a shorter `slurm.time` fit into a gap sooner",
    ),
    "Priority": Reason(
        "jobs with a higher priority stand before it",
        "wait; a shorter `slurm.time` lets backfill put it into a gap",
    ),
    "Dependency": Reason(
        "a job that it waits for (`dependency`) has not ended", "wait for that job"
    ),
    "DependencyNeverSatisfied": Reason(
        "the job that it waits for (`dependency`) ended otherwise than was asked, so it never "
        "starts",
        "`clusterrun cancel {run}` and submit again without that dependency, or `scontrol update "
        "JobId={job} Dependency=`",
        temporary=False,
    ),
    "BeginTime": Reason(
        "its earliest start time has not come",
        "wait for that time, or `scontrol update JobId={job} StartTime=now`",
    ),
    "JobHeldUser": Reason(
        "its user holds it, by `sbatch --hold` or `scontrol hold`",
        "`scontrol release {job}`",
        temporary=False,
    ),
    "JobHeldAdmin": Reason(
        "an administrator holds it, or Slurm for one (priority 0); only an administrator can "
        "release it",
        "ask the site",
        temporary=False,
    ),
    "JobHoldMaxRequeue": Reason(
        "Slurm has started it again too often (slurm.conf's MaxBatchRequeue, 5) and holds it",
        "`scontrol release {job}`; where that is refused, ask the site, or `clusterrun cancel "
        "{run}` and `clusterrun resume {run}`",
        temporary=False,
    ),
    "Licenses": Reason(
        "it waits for licences (`licenses`) that other jobs hold",
        "wait; `scontrol show licenses` shows who has how many",
    ),
    "Reservation": Reason(
        "the reservation that it asked for has not begun",
        "wait; `scontrol show reservation` has its time",
    ),
    "ReservationDeleted": Reason(
        "the reservation that it asked for was deleted",
        "`scontrol update JobId={job} ReservationName=`",
        temporary=False,
    ),
    "ReservationInvalid": Reason(
        "the reservation that it asked for is not valid",
        "`scontrol update JobId={job} ReservationName=`",
        temporary=False,
    ),
    "RequiresReservation": Reason(
        "the partition {partition} takes jobs in a reservation only",
        "name the reservation: `--set slurm.reservation=NAME`",
        temporary=False,
    ),
    "ReqNodeNotAvail": Reason(
        "nodes that it needs cannot be had now: down, drained, or reserved",
        "`sinfo -R` says why nodes are out; a request that names no nodes (`nodelist`) can start "
        "elsewhere",
    ),
    "NodeDown": Reason(
        "a node that it needs is down",
        "name other nodes, or none (`nodelist`); `sinfo -R` says why",
        temporary=False,
    ),
    "BadConstraints": Reason(
        "no node has what it asks for: constraint, memory, GPUs or nodes named",
        "`sinfo -N -o '%N %f %G %m %c'` shows what the nodes have; cancel it, and submit a "
        "request that fits",
        temporary=False,
    ),
    "PartitionDown": Reason(
        "the partition {partition} is down: it starts no job",
        "wait until the site opens it, or take another one",
    ),
    "PartitionInactive": Reason(
        "the partition {partition} is inactive: it takes and starts no job",
        "take another partition",
    ),
    "PartitionNodeLimit": Reason(
        "it asks for more or fewer nodes than the partition {partition} allows or has up",
        "other `slurm.nodes`, or another partition",
        temporary=False,
    ),
    "PartitionMinNodes": Reason(
        "it asks for fewer nodes than the partition {partition} wants (MinNodes)",
        "more nodes, or another partition",
        temporary=False,
    ),
    "PartitionMaxNodes": Reason(
        "it asks for more nodes than the partition {partition} allows (MaxNodes)",
        "fewer nodes, or another partition",
        temporary=False,
    ),
    "PartitionTimeLimit": Reason(
        "its time limit is over that of the partition {partition}",
        "a shorter `slurm.time`: the run goes on after the limit by itself; of a job that waits, "
        "`scontrol update JobId={job} TimeLimit=...`",
        temporary=False,
    ),
    "PartitionConfig": Reason(
        "the partition {partition} does not allow this request (scontrol show partition)",
        "ask for what it allows, or take another one",
        temporary=False,
    ),
    "AccountNotAllowed": Reason(
        "its account may not use the partition {partition}",
        "another `slurm.account` or `slurm.partition`",
        temporary=False,
    ),
    "QOSNotAllowed": Reason(
        "its QOS may not be used in the partition {partition}",
        "another `slurm.qos` or `slurm.partition`",
        temporary=False,
    ),
    "InvalidAccount": Reason(
        "its account is not valid (any more)",
        "another `slurm.account`: `sacctmgr show associations user=$USER`",
        temporary=False,
    ),
    "InvalidQOS": Reason(
        "its QOS is not valid (any more)",
        "another `slurm.qos`: `sacctmgr show associations user=$USER format=account,qos`",
        temporary=False,
    ),
    "AssociationJobLimit": Reason(
        "your account has as many jobs as it may have", "wait until one of them ends"
    ),
    "AssociationResourceLimit": Reason(
        "your account has reached a limit on its resources",
        "wait until one of its jobs ends",
    ),
    "AssociationTimeLimit": Reason("your account has used up its time", "ask the site"),
    "QOSJobLimit": Reason("the QOS has as many jobs as it may have", "wait until one of them ends"),
    "QOSResourceLimit": Reason(
        "the QOS has reached a limit on its resources", "wait until one of its jobs ends"
    ),
    "QOSTimeLimit": Reason("the QOS has used up its time", "ask the site"),
    "QOSUsageThreshold": Reason(
        "your share of the machine is below what the QOS wants (UsageThreshold)",
        "wait until your share has recovered, or take another `slurm.qos`",
    ),
    "JobArrayTaskLimit": Reason(
        "as many tasks of the array run as it lets run at once (`%N`)",
        "wait, or `scontrol update JobId={job} ArrayTaskThrottle=N`",
    ),
    "JobLaunchFailure": Reason(
        "Slurm could not launch it: a node's file system, or the prolog",
        "`sinfo -R` may name the node; `scontrol release {job}` if it is held",
        temporary=False,
    ),
    "Prolog": Reason("the site's preparation (PrologSlurmctld) is still running", "wait"),
    "Cleaning": Reason("it is being requeued, and its last start is still cleaned up", "wait"),
    "FrontEndDown": Reason("no front end node is up", "ask the site"),
    "SystemFailure": Reason(
        "Slurm itself, a file system or the network failed", "ask the site", temporary=False
    ),
    "InactiveLimit": Reason(
        "it reached the system's InactiveLimit", "ask the site", temporary=False
    ),
    "NonZeroExitCode": Reason(
        "its last start ended with an exit code that is not 0",
        "`clusterrun logs {run}`",
        temporary=False,
    ),
    "TimeLimit": Reason(
        "its last start reached the time limit", "`clusterrun logs {run}`", temporary=False
    ),
    "OutOfMemory": Reason("its last start had no memory left", "more `slurm.mem`", temporary=False),
    "DeadLine": Reason(
        "it cannot end before its deadline (`deadline`)", "another `deadline`", temporary=False
    ),
    "MaxMemPerLimit": Reason(
        "it asks for more memory for each CPU or node than is allowed",
        "less `slurm.mem`",
        temporary=False,
    ),
    "FedJobLock": Reason("another cluster of the federation is looking at it", "wait"),
    "BurstBufferResources": Reason("it waits for room in the burst buffer", "wait"),
    "BurstBufferStageIn": Reason("its data are being copied into the burst buffer", "wait"),
    "BurstBufferOperation": Reason("the burst buffer failed it", "ask the site", temporary=False),
    "AccountingPolicy": Reason(
        "a limit of accounting keeps it",
        "`sacctmgr show associations user=$USER`, `sacctmgr show qos`",
    ),
}

# What squeue shows as a sentence, by the words that only it has.
SENTENCES = {
    "launch failure limit exceeded": Reason(
        "Slurm holds it: it ended by itself within the grace of a preemption five times "
        "(MaxBatchRequeue), which counts as failed launches; a user may not release that hold",
        "ask the site to release job {job}; or `clusterrun cancel {run}` and `clusterrun resume "
        "{run}`: another job, from the last checkpoint",
        temporary=False,
    ),
    "launch failed requeued held": Reason(
        "Slurm could not launch it (a node's prolog or file system failed), put it back and holds "
        "it",
        "`scontrol release {job}`; where that is refused, ask the site; `sinfo -R` names the "
        "drained node",
        temporary=False,
    ),
    "user env retrieval failed requeued held": Reason(
        "Slurm could not get the user's environment on the node (`--get-user-env`), put it back "
        "and holds it",
        "`scontrol release {job}`; where it happens again, ask the site",
        temporary=False,
    ),
    "job requeued in held state": Reason(
        "it was put back and is held (`scontrol requeuehold`)",
        "`scontrol release {job}`",
        temporary=False,
    ),
    "Nodes required for job are DOWN": Reason(
        "too few nodes for it are up: they are down, drained, or reserved for jobs in partitions "
        "with a higher priority",
        "wait until they are back (`sinfo -R` says why they are out), or ask for fewer nodes",
    ),
    "ReqNodeNotAvail, Reserved for maintenance": Reason(
        "it would not end before a maintenance begins that has reserved the nodes",
        "a `slurm.time` that ends before it starts at once; the run goes on afterwards by itself. "
        "`scontrol show reservation` has the time",
    ),
    "ReqNodeNotAvail, May be reserved": Reason(
        "nodes that it needs are kept for another job, or for a reservation that begins before it "
        "would end",
        "wait; where it is a reservation, a job with a `slurm.time` that ends before that starts "
        "at once",
    ),
    "ReqNodeNotAvail, Reserved for other": Reason(
        "the nodes that it needs are in a reservation",
        "wait; `scontrol show reservation` has its time",
    ),
}

# A limit's name is put together: whose it is, what it sums up, and of what.
RESOURCES = {
    "Cpu": "CPUs",
    "CPU": "CPUs",
    "Mem": "memory",
    "Memory": "memory",
    "Node": "nodes",
    "GRES": "GPUs (GRES)",
    "License": "licences",
    "BB": "burst buffer",
    "Energy": "energy",
    "Billing": "billing units",
    "Unknown": "a resource",
    "Jobs": "running jobs",
    "Job": "running jobs",
    "SubmitJobs": "queued and running jobs",
    "SubmitJob": "queued and running jobs",
    "Wall": "wall time",
    "WallDuration": "wall time",
}
SMALLER = "cancel it and submit a smaller request, or ask the site to raise the limit"
