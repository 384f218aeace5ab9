"""The job script's functions, one by one: the rendezvous port and address, and how many GPUs a node
has.
"""

from __future__ import annotations

import socket

import pytest

from tests.support.bash_functions import bash, said


def find_free_port(**variables: object) -> int:
    given = {"SLURM_JOB_ID": 4711, "attempt": "0001", "main_process_ip": "127.0.0.2", **variables}
    return int(said("find_free_port", **given))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
def test_a_port_in_use_is_skipped(address):
    """The port depends only on job and attempt, unless it is in use on the head node; it is never
    an ephemeral one.
    """
    first = find_free_port()
    with socket.create_server((address, first)):
        other = find_free_port()
    assert other != first == find_free_port()
    assert {10000 <= port < 30000 for port in (first, other)} == {True}


def test_jobs_and_attempts_have_different_ports():
    """Two jobs on one node do not meet, nor an attempt and one whose predecessor still holds its
    port; arrays have an id with `_`.
    """
    assert find_free_port() != find_free_port(SLURM_JOB_ID=4712)
    assert find_free_port() != find_free_port(attempt="0002")
    assert find_free_port(attempt="0008") != find_free_port(attempt="0009")
    assert 10000 <= find_free_port(SLURM_JOB_ID="4711_3") < 30000
    assert 10000 <= find_free_port(SLURM_JOB_ID=4294967294, attempt="9999") < 30000


HEADS = [
    # own addresses, scontrol's answer, what names resolve to, nodes, the address (None: unknown)
    ("10.0.0.5 192.168.1.5", "n1 10.0.0.5", {}, 2, "10.0.0.5"),
    ("10.0.0.5 192.168.1.5", "n1 node-ib", {"node-ib": "192.168.1.5"}, 2, "192.168.1.5"),
    ("10.0.0.5", "", {"n1": "127.0.1.1"}, 2, "10.0.0.5"),  # Debian's /etc/hosts
    ("10.0.0.5 192.168.1.5", "", {"n1": "192.168.1.5"}, 2, "192.168.1.5"),
    (
        "10.0.0.5",
        "n1 203.0.113.9",
        {"n1": "10.0.0.5"},
        2,
        "10.0.0.5",
    ),  # the address that others see is not one of its own
    ("127.0.0.1 10.0.0.5", "n1 127.0.0.1", {"n1": "127.0.0.1"}, 2, "10.0.0.5"),
    ("fe80::1 fd00::5", "", {}, 2, "fd00::5"),
    ("", "", {"n1": "127.0.1.1"}, 1, "127.0.0.1"),
    ("", "", {"n1": "127.0.1.1"}, 2, None),
]
MACHINE = """
hostname() { if [ "${1:-}" = -I ]; then echo "$ADDRESSES "; else echo n1; fi; }
scontrol() { [ -z "$NODE" ] || echo "   NodeAddr=${NODE#* } NodeHostName=n1"; }
getent() {
  case $2 in *[0-9].*[0-9].* | *:*) echo "$2 STREAM"; return ;; esac
  for pair in $NAMES; do [ "${pair%%=*}" != "$2" ] || echo "${pair#*=} STREAM"; done
}
find_head_address
"""


@pytest.mark.parametrize(("own", "node", "names", "nodes", "address"), HEADS)
def test_the_head_nodes_address_is_never_loopback(own, node, names, nodes, address):
    """The other nodes must reach it: it is an address of this machine, found by Slurm's or its own
    name.
    """
    known = " ".join(f"{name}={place}" for name, place in names.items())
    done = bash(
        MACHINE,
        ADDRESSES=own,
        NODE=node,
        NAMES=known,
        SLURM_JOB_NUM_NODES=nodes,
        SLURMD_NODENAME="n1",
    )
    assert (done.stdout or None, done.returncode) == (address, 0 if address else 1)


@pytest.mark.parametrize(("address", "fit"), [("127.0.0.1", False), ("127.0.1.1", False), ("::1", False),
                                              ("fe80::a", False), ("10.127.0.1", True), ("fd00::1", True)])  # fmt: skip
def test_addresses_that_only_this_machine_reaches_are_skipped(address, fit):
    """Loopback and link-local addresses are useless to other nodes."""
    assert bash("print_unless_loopback $1", address).stdout == (address if fit else "")


@pytest.mark.parametrize(("variables", "count"), [
    ({"SLURM_GPUS_ON_NODE": "4"}, "4"), ({"SLURM_GPUS_ON_NODE": "a100:8"}, "8"),
    ({"SLURM_JOB_GPUS": "0,1,5"}, "3"), ({"SLURM_STEP_GPUS": "2", "SLURM_JOB_GPUS": "1,2"}, "1"),
    ({"CUDA_VISIBLE_DEVICES": "GPU-1a,GPU-2b"}, "2"), ({"ROCR_VISIBLE_DEVICES": "0"}, "1"), ({}, "0"),
])  # fmt: skip
def test_gpus_are_counted_in_each_of_slurms_variables(variables, count):
    """A node's GPUs are counted from the first of Slurm's variables that names them."""
    assert bash("count_local_gpus", **variables).stdout.strip() == count
