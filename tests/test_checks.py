"""The checks of the exercises: typical mistakes are named, right answers pass, nothing blocks."""

import collections
import sys

import cv2
import nbformat
import pandas as pd
import pytest
import torch
from answers import ALSO_RIGHT, MISTAKES
from conftest import REPOSITORY
from torch import nn
from torch.utils.data import Dataset

from helpers import checks, feedback

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


@pytest.fixture
def ask(capsys, monkeypatch):
    """Define an answer as a notebook would, and return what the check hands back and prints."""
    monkeypatch.setattr(feedback, "tries", {})

    def asked(name, source):
        space = globals() | {"pd": pd, "cv2": cv2, "torch": torch, "nn": nn, "Dataset": Dataset}
        space |= {"device": torch.device("cpu")}
        if name == "LeNet":
            feedback.reference("05", "conv_output_size", space)
        exec(compile(source, "<answer>", "exec"), space)
        space["check"] = checks.EXERCISES[name]
        result = eval(f"check({name})", space)
        return result, space[name], capsys.readouterr().out

    return asked


def ours(name):
    return feedback.source(checks.EXERCISES[name].step, name)


@pytest.mark.parametrize("name", checks.EXERCISES)
def test_our_version_is_right(ask, name):
    result, answer, printed = ask(name, ours(name))
    assert printed.startswith(f"{name}: right. ") and result is answer


@pytest.mark.parametrize(
    ("name", "source"), [(name, source) for name in ALSO_RIGHT for source in ALSO_RIGHT[name]]
)
def test_other_right_answers_pass(ask, name, source):
    result, answer, printed = ask(name, source)
    assert printed.startswith(f"{name}: right. "), printed
    assert result is answer


@pytest.mark.parametrize(("name", "old", "new", "words"), MISTAKES)
def test_a_typical_mistake_is_named(ask, name, old, new, words):
    source = ours(name)
    assert old in source
    result, _, printed = ask(name, source.replace(old, new))
    assert printed.startswith(f"{name}: not right yet."), printed
    assert words in printed, printed
    assert "Hint: " in printed
    checks.EXERCISES[name](result)  # what it hands back is right


def test_each_exercise_has_enough_of_both():
    wrong = collections.Counter(name for name, *_ in MISTAKES)
    assert set(wrong) == set(ALSO_RIGHT) == set(checks.EXERCISES)
    assert min(wrong.values()) >= 4
    assert min(map(len, ALSO_RIGHT.values())) >= 2


def test_each_step_from_03_has_two_exercises_and_its_checks_are_called():
    steps = collections.Counter(check.step for check in checks.EXERCISES.values())
    assert steps.items() >= {f"{step:02d}": 2 for step in range(3, 13)}.items()
    further = {f"{step:02d}": 1 for step in range(13, 16)}
    assert set(steps) == {file.name[:2] for file in NOTEBOOKS} - {"01", "02"}
    assert all(steps[step] == count for step, count in further.items() if step in steps)
    for name, check in checks.EXERCISES.items():
        (file,) = (f for f in NOTEBOOKS if f.name.startswith(check.step))
        sources = [cell.source for cell in nbformat.read(file, as_version=4).cells]
        (line,) = [s.splitlines()[0] for s in sources if f" = checks.{check.__name__}(" in s]
        assert line == f"{name} = checks.{check.__name__}({name})"


@pytest.mark.parametrize("name", checks.EXERCISES)
def test_what_is_not_done_is_no_mistake(ask, name):
    lines, inside = [], False
    for file in NOTEBOOKS:
        for cell in nbformat.read(file, as_version=4).cells:
            if feedback.BEGIN in cell.source and feedback._definition(cell.source, name):
                for line in cell.source.splitlines():
                    inside = (inside or feedback.BEGIN in line) and feedback.END not in line
                    lines += [line] if not inside else []
                    lines += [line.replace(feedback.BEGIN, feedback.STUB)] * (
                        feedback.BEGIN in line
                    )
    result, answer, printed = ask(name, "\n".join(lines))
    assert printed.startswith(f"{name}: not done yet. ") and printed.count("Hint: ") == 1
    assert result is answer and not feedback.tries
    assert checks.EXERCISES[name](result)


@pytest.mark.parametrize("name", ["train_epoch", "evaluate"])
def test_a_loop_is_tried_on_the_device_of_its_notebook(ask, name):
    source = f"def {name}(model, *rest):\n    raise KeyError(str(next(model.parameters()).device))"
    _, _, printed = ask(name, f"device = torch.device('meta')\n{source}")
    assert "KeyError: 'meta'" in printed


WILD = {
    "raises": ("raise KeyError('x')", "It stopped with KeyError"),
    "exits": ("raise SystemExit(3)", "It stopped with SystemExit"),
    "never ends": ("while True: pass", "a loop that never ends"),
    "never ends and holds on": (
        "while True:\n        try:\n            sum(range(9))\n        except Exception: pass",
        "a loop that never ends",
    ),
    "nothing": ("return None", "Is `return` missing"),
    "prints a lot": ("for _ in range(200000): print('x' * 50)", "Found None, expected"),
    "interrupts": ("raise KeyboardInterrupt", "It stopped with KeyboardInterrupt"),
}


@pytest.mark.parametrize("kind", WILD)
def test_whatever_an_answer_does_the_notebook_goes_on(ask, monkeypatch, kind):
    if "never ends" in kind:
        monkeypatch.setattr(feedback, "SECONDS", 2)
    body, words = WILD[kind]
    before = sys.stdout, sys.stderr
    result, _, printed = ask("cross_entropy", f"def cross_entropy(logits, labels):\n    {body}")
    assert words in printed and len(printed) < 1000
    assert result(torch.zeros(1, 3), torch.tensor([0])).item() == pytest.approx(1.0986, abs=1e-3)
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.parametrize("answer", ["3", "None", "'text'", "object", "print", "lambda: 0"])
@pytest.mark.parametrize("name", checks.EXERCISES)
def test_what_is_no_answer_at_all_is_survived(ask, name, answer):
    result, _, printed = ask(name, f"{name} = {answer}")
    assert "not right yet" in printed
    checks.EXERCISES[name](result)


def test_hints_grow_and_then_the_solution_can_be_asked_for(ask, capsys):
    source = ours("LeNet").replace("16 * size * size", "7")
    printed = [ask("LeNet", source)[2] for _ in range(3)]
    assert [text.count("Hint: ") for text in printed] == [1, 2, 2]
    assert 'checks.solution("LeNet")' in printed[0]
    checks.solution("LeNet")
    printed = capsys.readouterr().out
    assert "16 * size * size" in printed and "SOLUTION" not in printed
    with pytest.raises(ValueError, match="There are: AOIDataset, normalise"):
        checks.solution("Lenet")


def test_the_random_numbers_of_the_notebook_stay_as_they_are(ask):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    ask("LeNet", ours("LeNet"))
    assert torch.equal(torch.rand(3), expected)
