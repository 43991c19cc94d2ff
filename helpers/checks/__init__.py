"""One check for each exercise: it tries an answer on small inputs, and names typical mistakes."""

from collections.abc import Callable

from helpers import feedback
from helpers.checks import basics, beyond, further, loops

EXERCISES: dict[str, Callable] = {
    check.defines: check
    for room in (basics, loops, beyond, further)
    for check in vars(room).values()
    if hasattr(check, "defines")
}
globals().update((check.__name__, check) for check in EXERCISES.values())  # checks.dataset, …


def solution(name: str) -> None:
    """Print how the complete notebook does an exercise.

    Parameters
    ----------
    name : str
        What the exercise defines, such as "LeNet".

    Raises
    ------
    ValueError
        If there is no such exercise; it names those that there are.
    """
    if name not in EXERCISES:
        raise ValueError(f"There is no exercise {name!r}. There are: {', '.join(EXERCISES)}.")
    print(feedback.source(EXERCISES[name].step, name))
