"""A user with a training script and an old sbatch script."""

from __future__ import annotations

import pytest

from tests.support.cli_desk import Desk

SCRIPT = """\
import argparse
from accelerate import Accelerator
parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
parser.add_argument("--learning_rate", type=float, default=5e-5)
parser.add_argument("--output_dir", default="results")
"""
OLD = "#!/bin/bash\n#SBATCH -J old-run -N 2\nexport WANDB_API_KEY=abcdefghij\nsrun accelerate launch train.py --x 1\n"


@pytest.fixture
def desk(tmp_path) -> Desk:
    made = Desk(tmp_path)
    made.write(SCRIPT, "train.py")
    made.write(OLD, "old.sh")
    return made
