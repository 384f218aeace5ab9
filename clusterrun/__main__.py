"""`python -m clusterrun`: the same as the command `clusterrun`."""

from clusterrun.cli import main

raise SystemExit(main())
