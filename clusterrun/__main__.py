"""`python -m clusterrun`: the same as the `clusterrun` command."""

from clusterrun.cli import main

raise SystemExit(main())
