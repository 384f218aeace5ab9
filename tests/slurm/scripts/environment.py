"""Writes the variables that begin with HOSTILE_ as they arrived."""

import json
import os
from pathlib import Path

values = {name: value for name, value in os.environ.items() if name.startswith("HOSTILE_")}
(Path(os.environ["CLUSTERRUN_RUN_DIR"]) / "environment.json").write_text(json.dumps(values))
