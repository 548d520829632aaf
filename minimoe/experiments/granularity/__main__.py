"""Train all models of the record again: `python -m minimoe.experiments.granularity FILE`."""

import sys
from pathlib import Path

from minimoe.experiments.granularity import make_record

make_record(Path(sys.argv[1]))
