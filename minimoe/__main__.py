"""The command line as `python -m minimoe`."""

from minimoe.cli import main

raise SystemExit(main())
