"""The table of reasons, compared with Slurm's own programs, of this machine and of the suites that
are unpacked here. Budget: 2 s.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from clusterrun.diagnosis.reason_text import explain_reason
from clusterrun.diagnosis.reasons import REASONS, SENTENCES
from tests.slurm.cluster.suites import SUITE_OF


def _libraries() -> list[Path]:
    """List Slurm's libraries of this machine, and of the suites that are unpacked here."""
    store = Path(os.environ.get("CLUSTERRUN_TEST_SUITES", "/var/cache/clusterrun-tests"))
    places = [Path("/usr"), *(store / name / "usr" for name in SUITE_OF.values())]
    return [path for place in places for path in place.glob("lib/*/slurm*/libslurmfull.so")]


def test_every_reason_of_the_table_is_slurms_own() -> None:
    """Each code is in the library of a Slurm here; each sentence in a controller's program."""
    libraries = [path.read_bytes() for path in _libraries()]
    controllers = [path.parents[3].joinpath("sbin/slurmctld") for path in _libraries()]
    programs = [path.read_bytes() for path in controllers if path.exists()]
    assert libraries
    newer = {"ReservationInvalid"} if len(libraries) == 1 else set()
    assert {
        code for code in REASONS if not any(f"{code}\0".encode() in text for text in libraries)
    } <= newer
    later = {
        "launch failure limit exceeded",
        "user env retrieval failed requeued held",
        "ReqNodeNotAvail, Reserved for other",
    }
    absent = {
        words
        for words in SENTENCES
        if not any(words.encode() in text for text in [*libraries, *programs])
    }
    assert absent <= (later if len(programs) == 1 else set())


def test_every_limit_that_slurm_names_is_explained() -> None:
    """The names of limits in Slurm's library, older and newer, all have a meaning."""
    limits = re.compile(r"(?:QOS(?:Grp|Max|Min)|Assoc(?:Grp|Max)|Max\w+Per(?:Account|User)$)\w*")
    for library in _libraries():
        words = subprocess.run(
            ["strings", "-n", "6", library], text=True, capture_output=True, check=True
        ).stdout.split("\n")
        names = [word for word in words if limits.fullmatch(word)]
        assert len(names) > 100
        assert [name for name in names if not explain_reason(name).known] == [], library
