"""Tests that need GPUs are skipped, with the reason, where torch does not see enough of them."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _enough(request: pytest.FixtureRequest) -> None:
    marker = request.node.get_closest_marker("gpu")
    assert marker is not None, (
        "a test in this folder needs @pytest.mark.gpu(number), the number of its GPUs"
    )
    (needed,) = marker.args
    seen = torch.cuda.device_count()
    if seen < needed:
        pytest.skip(f"needs {needed} GPU{'s' if needed > 1 else ''}, and torch sees {seen}")
