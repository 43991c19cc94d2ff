"""What happens around a check: run an answer safely, say what is wrong with it, never block."""

import ast
import contextlib
import ctypes
import functools
import io
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import nbformat
import numpy as np
import torch

from helpers.catalog import REPOSITORY

SECONDS = 10  # an answer that takes longer is stopped
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = 'raise NotImplementedError("Write your code in place of this line.")'
tries: dict[str, int] = {}  # how often each exercise was answered wrongly in this kernel

# what Python or PyTorch says, and what it most often means in an exercise
CAUSES = (
    (r"NameError: name '(\w+)'", r"there is no `\1` here. Is it `self.\1`, or a typing mistake?"),
    (r"before Module.__init__", "`super().__init__()` must be the first line of `__init__`."),
    (r"object has no attribute '(\w+)'", r"`\1` was never stored. Did you forget `self.`?"),
    (r"mat1 and mat2", "the first linear layer expects another number of inputs."),
    (r"on the same device|Input type .* weight type", "on another device: `.to(device)`."),
    (r"does not require grad", "`backward` needs the loss itself: no `.item()`, no `no_grad`."),
    (r"leaf Variable.*in-place", "change weights inside `with torch.no_grad():`."),
    (r"Long|Int.*Float|floating point type for target", "labels are whole numbers, int64."),
    (r"Can't call numpy\(\) on Tensor that req", "gradients are still on: `torch.no_grad()`."),
    (r"required positional|positional argument", "call and definition disagree on the arguments."),
)  # fmt: skip


class Wrong(Exception):
    """An answer that is not right: the likely cause, and what was found against what expected."""

    def __init__(self, cause: str, found: Any = None, expected: Any = None) -> None:
        compared = f"Found {describe(found)}, expected {describe(expected)}.\n"
        super().__init__(f"{compared if expected is not None else ''}Likely cause: {cause}")


class _TooLong(BaseException):
    """Raised inside an answer that does not come to an end."""


class _Bin(io.TextIOBase):
    """Swallows whatever an answer prints."""

    def write(self, text: str) -> int:
        return len(text)


def exercise(step: str, name: str, *hints: str) -> Callable:
    """Turn a probe, which raises `Wrong`, into a check that explains and hands back a good answer.

    Parameters
    ----------
    step : str
        The notebook with the solution, such as "03".
    name : str
        What the attendee defines there: a function or a class.
    *hints : str
        One for each try, the last one from then on.

    Returns
    -------
    callable
        A decorator. The first line of the probe's docstring is printed when the answer is right.
    """

    def decorate(probe: Callable[[Any], None]) -> Callable[[Any], Any]:
        @functools.wraps(probe)
        def check(answer: Any) -> Any:
            error = attempt(functools.partial(probe, answer))
            if error is None:
                print(f"{name}: right. {probe.__doc__.splitlines()[0]}")
                return answer
            if isinstance(error, NotImplementedError):
                print(f"{name}: not done yet.\nHint: {hints[0]}")
            else:
                tries[name] = tries.get(name, 0) + 1
                print(f"{name}: not right yet.\n{explain(error)}")
                print(f"Hint: {hints[min(tries[name], len(hints)) - 1]}")
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
        contextlib.redirect_stdout(_Bin()),
        contextlib.redirect_stderr(_Bin()),
        torch.random.fork_rng(devices=[]),
        warnings.catch_warnings(action="ignore"),
    ):
        torch.manual_seed(0)
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
    said = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
    for pattern, cause in CAUSES:
        if found := re.search(pattern, said):
            return f"It stopped with {said}\nLikely cause: {found.expand(cause)}"
    return f"It stopped with {said}"


def describe(value: Any) -> str:
    """Return a value in a few words: of a tensor the shape, the type and the range."""
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim:
        numbers = torch.as_tensor(value).detach()
        kind = str(numbers.dtype).removeprefix("torch.")
        low, high = numbers.aminmax() if numbers.numel() else (0, 0)
        span = f" from {low:.3g} to {high:.3g}"
        what = "a tensor" if isinstance(value, torch.Tensor) else "a NumPy array"
        return f"{what} {tuple(numbers.shape)} {kind}{span}"
    if isinstance(value, torch.Tensor):
        return f"a tensor with the one number {value.item():.4g}"
    text = f"{value:.4g}" if isinstance(value, float) else repr(value)
    return text if len(text) < 80 else f"{text[:80]}…"


def same(found: Any, expected: Any, cause: str, **others: Any) -> None:
    """Raise `Wrong` unless a value is the expected one.

    Parameters
    ----------
    found, expected : Tensor, number or anything that compares
        A number may differ by rounding, and may be a tensor with one number.
    cause : str
        What to say if nothing better fits.
    **others : tuple of (value, str)
        Values that typical mistakes give, and what to say then.
    """
    if isinstance(found, torch.Tensor) and found.requires_grad:
        raise Wrong("gradients are still on. Use `torch.no_grad()` (or `.item()` for one number).")
    if _equal(found, expected):
        return
    candidates = [
        *others.values(),
        *(_slips(expected) if isinstance(expected, torch.Tensor) else ()),
    ]
    for value, reason in candidates:
        if _equal(found, value):
            cause = reason
            break
    else:
        if isinstance(expected, torch.Tensor) and not isinstance(found, torch.Tensor):
            cause = "it is not a tensor."
        elif isinstance(expected, torch.Tensor) and found.shape != expected.shape:
            cause = f"the shape. {cause}"
        elif isinstance(expected, torch.Tensor) and found.dtype != expected.dtype:
            cause = f"the type of the numbers. {cause}"
    raise Wrong(cause, found, expected)


def _slips(expected: torch.Tensor) -> Iterator[tuple[torch.Tensor, str]]:
    """Yield what the usual slips with pictures would give."""
    if expected.ndim >= 2:
        yield expected.mT, "height and width, or rows and columns, are swapped."
    if expected.ndim >= 3:
        yield expected.flip(-3), "the channels are in the other order: OpenCV gives BGR, not RGB."
        yield expected.movedim(-3, -1), "the channels are last. PyTorch wants them first."
    if expected.is_floating_point():
        yield expected * 255, "the range: the pixels are still 0 to 255. Divide by 255."


def _equal(found: Any, expected: Any) -> bool:
    """Return whether two values are the same, but for rounding."""
    if isinstance(expected, torch.Tensor):
        if not isinstance(found, torch.Tensor) or found.shape != expected.shape:
            return False
        close = torch.allclose(found.double(), expected.double(), rtol=1e-4, atol=1e-5)
        return close and found.is_floating_point() == expected.is_floating_point()
    if isinstance(expected, int | float) and not isinstance(expected, bool):
        try:  # a list, a text or several numbers are no number
            return abs(float(found) - expected) <= 1e-4 * max(1, abs(expected))
        except (TypeError, ValueError, RuntimeError):
            return False
    return bool(found == expected)


def source(step: str, name: str) -> str:
    """Return the source of the cell in which the complete notebook defines something."""
    (file,) = (REPOSITORY / "notebooks").glob(f"{step}_*.ipynb")
    for cell in nbformat.read(file, as_version=4).cells:
        if cell.cell_type == "code" and BEGIN in cell.source and _definition(cell.source, name):
            lines = cell.source.splitlines()
            return "\n".join(line for line in lines if line.strip() not in (BEGIN, END))
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
