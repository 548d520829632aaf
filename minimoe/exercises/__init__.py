"""The exercises of the notebooks, and the calls that a lesson is made of.

```
guess_1 = ...                                         a guess before the measurement
predict("02.1", guess_1, a="few", b="all")
predict("02.1", measured={"a": n < 4, "b": n == 8})   after it: guessed and measured
finding("Every expert is used.", n == 8, used=n)      HOLDS or DOES NOT HOLD, with the numbers
route = check("02.3", route)                          right, not yet, or the first problem
hint("02.3")                                          one step further each time
solution("02.3")
expect_error(replace, config, top_k=9)                a planned error in one line
```
"""

from minimoe.exercises.lesson import check, expect_error, finding, hint, predict, solution

__all__ = ["check", "expect_error", "finding", "hint", "predict", "solution"]
