"""Writes its arguments as they arrived."""

import json
import os
import sys
from pathlib import Path

(Path(os.environ["CLUSTERRUN_RUN_DIR"]) / "arguments.json").write_text(json.dumps(sys.argv[1:]))
