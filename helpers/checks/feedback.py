"""What happens around a check: try an answer, say what is wrong with it, and never block."""

import contextlib
import inspect
import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from helpers.checks import reference

STUB = "Write your code in place of this line."  # what an exercise raises until it is done

# what Python or PyTorch says, and what it most often means in an exercise
CAUSES = {
    r"name '(\w+)' is not defined": r"`\1`: mistyped, or an import or a `self.` is missing.",
    r"KeyboardInterrupt": "a loop that never ends, if it was you who stopped it.",
    r"before Module.__init__": "`super().__init__()` must be the first line of `__init__`.",
    r'missing the required "forward"': "there is no `forward`. Is it spelt right?",
    r"NoneType": "nothing came back from somewhere. Is `return` missing?",
    r"'tuple' object has no": "a batch is a pair: `for pictures, labels in …`.",
    r"'([a-z.]+|Parameter|\w*Tensor)' object has no attribute '(\w+)'": r"a \1 has no `\2`.",
    r"object has no attribute '(\w+)'": r"`\1` was never stored. Did you forget `self.`?",
    r"'(method|builtin_function_or_method)' obj": "brackets are missing: `name()`, not `name`.",
    r"have (\d+) channels, but got (\d+)": r"a convolution wants \1 channels, and gets \2.",
    r"mat1 and mat2": "a linear layer gets another number of inputs than it was made for: is a size"
    " fixed that must be computed, or is more flattened than `x.flatten(1)` does?",
    r"does not require grad": "`backward` needs the loss itself: no `.item()`, no `no_grad`.",
    r"not implemented for 'Long'": "first the logits, then the labels; and no `argmax` before.",
    r"Long|Int.*Float|floating point type for target": "labels are whole numbers, int64.",
}

EXERCISES: dict[str, "Exercise"] = {}  # by what the attendee defines


class Wrong(Exception):
    """An answer that is not right: the likely cause, and what was found against what expected."""

    def __init__(self, cause: str, found: Any = None, expected: Any = None, case: str = "") -> None:
        compared = f"{case}Found {describe(found)}, expected {describe(expected)}.\n"
        super().__init__(f"{compared if expected is not None else ''}Likely cause: {cause}")


@dataclass
class Exercise:
    """An exercise's check: called with an answer, it explains, and gives back what works."""

    step: str  # the notebook with the exercise, such as "03"
    name: str  # what the attendee defines there: a function or a class
    hint: str  # it must hold for every part of the exercise
    probe: Callable[[Any], None]  # raises what is wrong; its docstring says what is right
    ours: Any = None  # our version, once the notebook goes on with it

    def __call__(self, answer: Any) -> Any:
        """Return the answer if it is right, else our version; print why."""
        if self.ours is not None and answer is self.ours:
            print(f"{self.name}: this is our version; the exercise is still to do.")
            print("Write your code in the cell above and run it. If it shows an error, mend that.")
            return answer
        error = attempt(self.probe, answer)
        if error is None:
            print(f"{self.name}: right. {self.probe.__doc__}")
            return answer
        if isinstance(error, NotImplementedError) and str(error) == STUB:
            print(f"{self.name}: not done yet. Write your code in place of the line `raise …`.")
        else:
            print(f"{self.name}: not right yet.\n{explain(error)}")
        print(f"Hint: {self.hint}")
        print(f'The notebook goes on with our version: checks.solution("{self.name}") shows it.')
        known = getattr(inspect.unwrap(answer), "__globals__", {})
        self.ours = reference.build(self.step, self.name, known)[self.name]
        return self.ours


def exercise(step: str, name: str, hint: str) -> Callable[[Callable], Exercise]:
    """Make a check of the probe that stands below."""
    return lambda probe: EXERCISES.setdefault(name, Exercise(step, name, hint, probe))


def attempt(probe: Callable[[Any], None], answer: Any) -> BaseException | None:
    """Try an answer that may fail or print a lot; return what went wrong."""
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        torch.random.fork_rng(devices=[]),  # the notebook's random numbers stay as they are
        warnings.catch_warnings(action="ignore"),
    ):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would change a GPU's too
        try:
            probe(answer)
        except BaseException as error:  # whatever it is, the notebook goes on
            return error
    return None


def explain(error: BaseException) -> str:
    """Return what went wrong in an answer, in the attendee's terms."""
    if isinstance(error, Wrong):
        return str(error)
    said = " ".join([f"{type(error).__name__}:", *str(error).strip().splitlines()[:1]])
    for pattern, cause in CAUSES.items():
        if found := re.search(pattern, said):
            return f"It stopped with {said}\nLikely cause: {found.expand(cause)}"
    return f"It stopped with {said}"


def describe(value: Any) -> str:
    """Return a value in a few words: of a tensor the shape, the type and the range."""
    if isinstance(value, Tensor | np.ndarray) and value.ndim:
        numbers = torch.as_tensor(value).detach().as_subclass(Tensor)
        low, high = numbers.aminmax() if numbers.numel() else (0, 0)
        what = "tensor" if isinstance(value, Tensor) else "NumPy array"
        return f"a {what} {tuple(value.shape)} {numbers.dtype} from {low:.3g} to {high:.3g}"
    value = value.item() if isinstance(value, Tensor) else value
    text = f"{value:.4g}" if isinstance(value, float) else repr(value)
    return text if len(text) < 80 else f"{text[:80]}…"


def same(
    found: Any, expected: Any, cause: str, mistakes: Mapping[str, Any] | None = None, case: str = ""
) -> None:
    """Raise `Wrong` unless a value is the expected one, but for rounding.

    A mistake is a sentence and the value that it gives; `cause` is said if none fits. `case` says
    of what: it stands before "Found".
    """
    if found is None:
        raise Wrong("nothing comes back. Is `return` missing?", found, expected, case)
    recorded = isinstance(found, Tensor) and found.requires_grad
    found = found.detach() if recorded else found
    if equal(found, expected) and recorded:
        raise Wrong("gradients are still on: `torch.no_grad()` (or `.item()` for one number).")
    if equal(found, expected):
        return
    known = dict(mistakes or {})
    if isinstance(expected, Tensor):
        known = {f"the type of the numbers: {expected.dtype} is wanted.": expected} | known
        if expected.ndim >= 2:
            known["height and width, or rows and columns, are swapped."] = expected.mT
        if expected.ndim >= 3:
            known["the channels are turned round: OpenCV gives BGR, not RGB."] = expected.flip(-3)
            known["the channels are last. PyTorch wants them first."] = expected.movedim(-3, -1)
        if not isinstance(found, Tensor):
            cause = "it is not a tensor."
        elif found.shape != expected.shape:
            cause = "the shape."
    fits = (sentence for sentence, value in known.items() if equal(found, value, kinds=False))
    raise Wrong(next(fits, cause), found, expected, case)


def equal(found: Any, expected: Any, kinds: bool = True) -> bool:
    """Return whether two values are the same, but for rounding; with or without the dtype."""
    if isinstance(expected, Tensor):
        if not isinstance(found, Tensor) or found.shape != expected.shape:
            return False
        close = torch.allclose(found.double(), expected.double(), rtol=1e-4, atol=1e-5)
        return close and (found.dtype == expected.dtype or not kinds)
    if isinstance(expected, int | float):
        try:  # a list, a text or several numbers are no number
            return abs(float(found) - expected) <= 1e-4 * max(1, abs(expected))
        except (TypeError, ValueError, RuntimeError):
            return False
    return isinstance(found, type(expected)) and found == expected


def as_tensor(found: Any) -> Any:
    """Return a NumPy array as a tensor, where an answer may be either; other things as they are."""
    return torch.as_tensor(np.ascontiguousarray(found)) if isinstance(found, np.ndarray) else found


def two(found: Any, *names: str) -> None:
    """Raise `Wrong` unless an answer gives two things back."""
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Wrong(f"give back two things: {', '.join(names)}.", found, names)
