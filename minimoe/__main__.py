"""`python -m minimoe`: the command line."""

from minimoe.cli import main

raise SystemExit(main())
