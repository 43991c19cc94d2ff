"""What happens around a check: run an answer safely, say what is wrong with it, never block."""

import ast
import contextlib
import ctypes
import functools
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from helpers.catalog import REPOSITORY
from helpers.missing import read_cells

SECONDS = 20  # an answer that takes longer is stopped
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = 'raise NotImplementedError("Write your code in place of this line.")'
tries: dict[str, int] = {}  # how often each exercise was answered wrongly in this kernel

PLAIN = "list|bool|generator|dict|NoneType|int|float|str|Parameter|Tensor|numpy.ndarray"
# what Python or PyTorch says, and what it most often means in an exercise
CAUSES = (
    (r"before Module.__init__", "`super().__init__()` must be the first line of `__init__`."),
    (r'missing the required "forward"', "there is no `forward`. Is it spelt right?"),
    (r"'tuple' object has no", "a batch is a pair: `for pictures, labels in …`."),
    (rf"'({PLAIN})' object has no attribute '(\w+)'", r"a \1 has no `\2`."),
    (r"object has no attribute '(\w+)'", r"`\1` was never stored. Did you forget `self.`?"),
    (r"'NoneType' object is not callable", "it may be None: use it only if it is there."),
    (
        r"'(method|builtin_function_or_method)' object",
        "brackets are missing: `name()`, not `name`.",
    ),
    (r"have (\d+) channels, but got (\d+)", r"a convolution wants \1 channels, and gets \2."),
    (r"mat1 and mat2", "a linear layer gets another number of inputs than it was made for."),
    (r"on the same device|Input type .* weight type", "on another device: `.to(device)`."),
    (r"does not require grad", "`backward` needs the loss itself: no `.item()`, no `no_grad`."),
    (r"leaf Variable.*in-place", "change weights inside `with torch.no_grad():`."),
    (r"not implemented for 'Long'", "first the logits, then the labels; and no `argmax` before."),
    (r"Long|Int.*Float|floating point type for target", "labels are whole numbers, int64."),
    (r"Can't call numpy\(\) on Tensor that req", "gradients are still on: `torch.no_grad()`."),
    (r"required positional|positional argument", "call and definition disagree on the arguments."),
)


class Wrong(Exception):
    """An answer that is not right: the likely cause, and what was found against what expected."""

    def __init__(self, cause: str, found: Any = None, expected: Any = None, case: str = "") -> None:
        compared = f"{case}Found {describe(found)}, expected {describe(expected)}.\n"
        super().__init__(f"{compared if expected is not None else ''}Likely cause: {cause}")


class _TooLong(BaseException):
    """Raised inside an answer that does not come to an end."""


def exercise(
    step: str, name: str, *hints: str, first: Callable[[], Any] = lambda: None
) -> Callable:
    """Turn a probe, which raises `Wrong`, into a check that explains and hands back a good answer.

    Parameters
    ----------
    step : str
        The notebook with the solution, such as "03".
    name : str
        What the attendee defines there: a function or a class.
    *hints : str
        One at the first try, one more at each further one.
    first : callable
        Done before the clock runs: what is slow the first time only, such as an import.

    Returns
    -------
    callable
        A decorator. The first line of the probe's docstring is printed when the answer is right.
    """

    def decorate(probe: Callable[[Any], None]) -> Callable[[Any], Any]:
        @functools.wraps(probe)
        def check(answer: Any) -> Any:
            first()
            error = attempt(functools.partial(probe, answer))
            if error is None:
                print(f"{name}: right. {probe.__doc__.splitlines()[0]}")
                return answer
            if isinstance(error, NotImplementedError) and str(error) in STUB:
                print(f"{name}: not done yet. Write your code in place of the line `raise …`.")
            else:
                tries[name] = tries.get(name, 0) + 1
                print(f"{name}: not right yet.\n{explain(error)}")
            for hint in hints[: max(1, tries.get(name, 0))]:
                print(f"Hint: {hint}")
            print(f'The notebook goes on with our version: checks.solution("{name}") shows it.')
            return reference(step, name, sys._getframe(1).f_globals)

        check.step, check.defines = step, name
        return check

    return decorate


def attempt(call: Callable[[], Any]) -> BaseException | None:
    """Run something that may fail, print a lot or never end; return what went wrong.

    The random numbers of the notebook stay as they were.
    """
    result: list[BaseException | None] = []

    def work() -> None:
        try:
            call()
            result.append(None)
        except BaseException as error:  # whatever it is, the notebook goes on
            result.append(error)

    thread = threading.Thread(target=work, daemon=True)
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        torch.random.fork_rng(devices=[]),
        warnings.catch_warnings(action="ignore"),
    ):
        torch.default_generator.manual_seed(0)
        thread.start()
        thread.join(SECONDS)
        if thread.is_alive():
            stop = ctypes.pythonapi.PyThreadState_SetAsyncExc
            stop(ctypes.c_ulong(thread.ident), ctypes.py_object(_TooLong))
            thread.join(1)
    return result[0] if result and not isinstance(result[0], _TooLong) else TimeoutError()


def explain(error: BaseException) -> str:
    """Return what went wrong in an answer, in the attendee's terms."""
    if isinstance(error, Wrong):
        return str(error)
    if isinstance(error, TimeoutError):
        return f"It was stopped after {SECONDS} seconds. Likely cause: a loop that never ends."
    if isinstance(error, NameError):
        return f"It stopped with NameError: {error}.\nLikely cause: {_unknown(error)}"
    said = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
    for pattern, cause in CAUSES:
        if found := re.search(pattern, said):
            return f"It stopped with {said}\nLikely cause: {found.expand(cause)}"
    return f"It stopped with {said}"


def _unknown(error: NameError) -> str:
    """Return why a name may be unknown."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    if frame and hasattr(frame.tb_frame.f_locals.get("self"), error.name):
        return f"it is stored in the object: `self.{error.name}`."
    if error.name in ("math", "np", "os", "Path", "random", "F"):
        return f"`{error.name}` was not imported."
    return "a typing mistake, or a cell above was not run. In a class: is it stored with `self.`?"


def describe(value: Any) -> str:
    """Return a value in a few words: of a tensor the shape, the type and the range."""
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim:
        numbers = torch.as_tensor(value).detach()
        low, high = numbers.aminmax() if numbers.numel() else (0, 0)
        span = f" from {low:.3g} to {high:.3g}"
        what = "a tensor" if isinstance(value, torch.Tensor) else "a NumPy array"
        return f"{what} {tuple(numbers.shape)} {_kind(numbers)}{span}"
    if isinstance(value, torch.Tensor):
        return f"a tensor with the one number {value.item():.4g}"
    text = f"{value:.4g}" if isinstance(value, float) else repr(value)
    return text if len(text) < 80 else f"{text[:80]}…"


def same(found: Any, expected: Any, cause: str, case: str = "", **others: tuple) -> None:
    """Raise `Wrong` unless a value is the expected one.

    Parameters
    ----------
    found, expected : Tensor, number or anything that compares
        A number may differ by rounding, and may be a tensor with one number.
    cause : str
        What to say if nothing better fits.
    case : str
        With which input, or of what: stands before "Found".
    **others : tuple of (value, str)
        Values that typical mistakes give, and what to say then.
    """
    if found is None:
        raise Wrong("nothing comes back. Is `return` missing?", found, expected, case)
    if isinstance(found, torch.Tensor) and found.requires_grad:
        found = found.detach()
        if _equal(found, expected):
            raise Wrong("gradients are still on: `torch.no_grad()` (or `.item()` for one number).")
    if _equal(found, expected):
        return
    if _equal(found, expected, kinds=False):
        raise Wrong(f"the type of the numbers: {_kind(expected)} is wanted.", found, expected, case)
    slips = _slips(expected) if isinstance(expected, torch.Tensor) else ()
    for value, reason in [*others.values(), *slips]:
        if _equal(found, value, kinds=False):
            raise Wrong(reason, found, expected, case)
    if isinstance(expected, torch.Tensor):
        if not isinstance(found, torch.Tensor):
            cause = "it is not a tensor."
        elif found.shape != expected.shape:
            cause = "the shape."
    raise Wrong(cause, found, expected, case)


def _kind(numbers: torch.Tensor) -> str:
    """Return the type of a tensor's numbers, such as float32."""
    return str(numbers.dtype).removeprefix("torch.")


def _slips(expected: torch.Tensor) -> Iterator[tuple[torch.Tensor, str]]:
    """Yield what the usual slips with pictures would give."""
    if expected.ndim >= 2:
        yield expected.mT, "height and width, or rows and columns, are swapped."
    if expected.ndim >= 3:
        yield expected.flip(-3), "the channels are in the other order: OpenCV gives BGR, not RGB."
        yield expected.movedim(-3, -1), "the channels are last. PyTorch wants them first."
    if expected.is_floating_point():
        yield expected * 255, "the range: the pixels are still 0 to 255. Divide by 255."


def _equal(found: Any, expected: Any, kinds: bool = True) -> bool:
    """Return whether two values are the same, but for rounding; with or without the dtype."""
    if isinstance(expected, torch.Tensor):
        if not isinstance(found, torch.Tensor) or found.shape != expected.shape:
            return False
        close = torch.allclose(found.double(), expected.double(), rtol=1e-4, atol=1e-5)
        return close and (found.dtype == expected.dtype or not kinds)
    if isinstance(expected, int | float) and not isinstance(expected, bool):
        try:  # a list, a text or several numbers are no number
            return abs(float(found) - expected) <= 1e-4 * max(1, abs(expected))
        except (TypeError, ValueError, RuntimeError):
            return False
    return bool(found == expected)


def no_softmax(logits: torch.Tensor) -> None:
    """Raise `Wrong` if an answer gives probabilities where logits (N, classes) are wanted."""
    if (logits >= 0).all() and (logits.sum(dim=1) - 1).abs().max() < 1e-4:
        raise Wrong("there is a softmax at the end. The loss does that: give back logits.")


def two(found: Any, *names: str) -> None:
    """Raise `Wrong` unless an answer gives two things back."""
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Wrong(f"give back two things: {', '.join(names)}.", found, names)


def without_markers(code: str) -> str:
    """Return a cell's source without the lines that mark a solution."""
    return "\n".join(line for line in code.splitlines() if line.strip() not in (BEGIN, END))


def source(step: str, name: str) -> str:
    """Return the source of the cell in which the complete notebook defines something."""
    (file,) = (REPOSITORY / "notebooks").glob(f"{step}_*.ipynb")
    for kind, code in read_cells(file):
        if kind == "code" and BEGIN in code and _definition(code, name):
            return without_markers(code)
    raise KeyError(f"{file.name} has no exercise with the name {name!r}.")


def reference(step: str, name: str, space: dict[str, Any]) -> Any:
    """Define the complete notebook's version in the attendee's notebook, and return it."""
    module = ast.Module([_definition(source(step, name), name)], type_ignores=[])
    exec(compile(module, f"<our version of {name}>", "exec"), space)
    return space[name]


def _definition(code: str, name: str) -> ast.stmt | None:
    """Return the definition of a function or class from a cell's source."""
    statements = ast.parse(code).body
    kinds = ast.FunctionDef | ast.ClassDef
    return next((s for s in statements if isinstance(s, kinds) and s.name == name), None)
