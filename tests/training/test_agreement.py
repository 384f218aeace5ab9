"""How long ranks wait for one another."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import torch

from clusterrun.training.stopping.agreement import Agreement


@pytest.fixture
def world(tmp_path) -> Iterator[None]:
    """Make this process the only rank of a world."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def test_ranks_wait_while_one_reads_a_large_checkpoint(world):
    """A checkpoint of hundreds of GB takes hours to verify, during which the other ranks must not
    time out.
    """
    agreement = Agreement(2)
    group = agreement._group
    assert group is not None
    assert group._get_backend(torch.device("cpu")).options._timeout >= timedelta(hours=6)
    agreement.close()
