"""Paired differences have Student's interval."""

import pytest

from minimoe.errors import InputError
from minimoe.measure.paired import paired


def test_a_paired_comparison_has_student_s_interval() -> None:
    found = paired([1.0, 2.0, 3.0], [0.0, 0.0, 0.0])
    assert (round(found.mean, 3), round(found.low, 3), round(found.high, 3)) == (2, -0.484, 4.484)
    assert found.differences == (1, 2, 3) and not found.settled
    assert (
        paired([1.0, 1.1, 0.9], [2.0, 2.0, 2.0]).settled
        and paired([1.0, 1.1, 0.9], [2.0, 2.0, 2.0]).mean < 0
    )
    with pytest.raises(InputError, match="1.*1"):
        paired([1.0], [1.0])
    with pytest.raises(InputError, match="2 and 3"):
        paired([1.0, 2.0], [1.0, 2.0, 3.0])
