"""The checks of the exercises: typical mistakes are named, right answers pass, nothing blocks."""

import re
import sys

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from answers import ALSO_RIGHT, MISTAKES
from torch import nn

from helpers import checks
from helpers.checks import reference
from helpers.checks.reference import code_cells
from workshop.room import BEGIN, END, STUB, notebook_files

NAMES = sorted(checks.EXERCISES)
LIBRARIES = {"torch": torch, "nn": nn, "np": np, "pd": pd, "cv2": cv2}


@pytest.fixture
def ask(capsys, monkeypatch):
    """Define an answer as a notebook would, and return what the check hands back and prints."""

    def asked(name, source):
        check = checks.EXERCISES[name]
        monkeypatch.setattr(check, "ours", None)
        space = LIBRARIES | reference.build(check.step, name, {})
        exec(compile(source, "<answer>", "exec"), space)
        answer = space[name]
        result = check(answer)
        printed = capsys.readouterr().out
        if "right. " not in printed:  # our version is never called right
            assert check(result) is result
            assert "this is our version; the exercise is still to do" in capsys.readouterr().out
        return result is answer, printed

    return asked


def ours(name):
    return reference.source(checks.EXERCISES[name].step, name)


@pytest.mark.parametrize("name", NAMES)
def test_right_answers_pass_and_what_is_none_does_not(ask, name):
    assert len(ALSO_RIGHT[name]) >= 2
    for source in [ours(name), *ALSO_RIGHT[name]]:
        is_answer, printed = ask(name, source)
        assert printed.startswith(f"{name}: right. ") and is_answer, f"{source}\n{printed}"
    cells = code_cells(*notebook_files(checks.EXERCISES[name].step))
    (cell,) = (c for c in cells if BEGIN in c and re.search(rf"^(def|class) {name}\b", c, re.M))
    _, printed = ask(name, re.sub(f"{BEGIN}.*?{END}", STUB, cell, flags=re.DOTALL))
    assert printed.startswith(f"{name}: not done yet. ") and "Hint: " in printed
    for source in ("None", "object", "print", "lambda: 0"):  # no answer at all
        assert "not right yet" in ask(name, f"{name} = {source}")[1], source


@pytest.mark.parametrize("name", NAMES)
def test_typical_mistakes_are_named(ask, name):
    mistakes = [mistake[1:] for mistake in MISTAKES if mistake[0] == name]
    assert len(mistakes) >= 4
    for old, new, words in mistakes:
        assert old in ours(name)
        _, printed = ask(name, ours(name).replace(old, new))
        assert printed.startswith(f"{name}: not right yet."), f"{new}\n{printed}"
        diagnosis, _, rest = printed.partition("Hint: ")
        assert words in diagnosis and rest.count("\n") == 2, f"{new}\n{printed}"


def test_the_notebooks_call_every_check():
    called = set()
    for file in notebook_files():
        for cell in code_cells(file):
            for name, check, answer in re.findall(r"^(\w+) = checks\.(\w+)\((\w+)\)$", cell, re.M):
                assert name == answer and getattr(checks, check) is checks.EXERCISES[name]
                called.add((file.name[:2], name))
    assert called == {(check.step, name) for name, check in checks.EXERCISES.items()}


WILD = {
    "raise KeyError('x')": "It stopped with KeyError: 'x'",
    "raise SystemExit(3)": "It stopped with SystemExit",
    "raise KeyboardInterrupt": "a loop that never ends",
    "for _ in range(200000): print('x' * 50)": "Found None, expected",
}


@pytest.mark.parametrize("body", WILD)
def test_whatever_an_answer_does_the_notebook_goes_on(ask, body):
    before = sys.stdout, sys.stderr
    _, printed = ask("cross_entropy", f"def cross_entropy(logits, labels):\n    {body}")
    assert WILD[body] in printed and len(printed) < 1000
    assert (sys.stdout, sys.stderr) == before


def test_the_solution_is_the_cell_of_the_complete_notebook(capsys):
    checks.solution("LeNet")
    printed = capsys.readouterr().out
    assert printed.startswith("class LeNet(nn.Module):") and "16 * size * size" in printed
    assert "SOLUTION" not in printed
    with pytest.raises(ValueError, match=r"no exercise 'Lenet'\. There are: .*LeNet"):
        checks.solution("Lenet")


def test_the_random_numbers_of_the_notebook_stay_as_they_are(ask):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    ask("LeNet", ours("LeNet"))
    assert torch.equal(torch.rand(3), expected)
