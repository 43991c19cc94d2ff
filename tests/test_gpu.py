"""What runs on a CPU runs on a GPU: on a real one, if there is one, or on one that is pretended."""

import re
import sys

import pytest
from conftest import REPOSITORY, run_process, run_python

from workshop.room import learner, notebook_files

pytestmark = pytest.mark.gpu

LINES = {  # the slips are what people write on a CPU, where it works
    "network(torch.ones(2, 3))": "stops",
    "cross_entropy(network(batch), torch.tensor([0, 1]))": "stops",
    "batch - torch.ones(1, 3)": "stops",
    "batch.numpy()": "stops",
    "np.asarray(batch)": "stops",
    "torch.rand(3, generator=torch.Generator(), device=device)": "stops",
    "torch.ones(3)[batch.argmax(dim=1)]": "stops",
    "network(torch.ones(2, 3).to(device)).sum().backward()": "runs",
    "batch.cpu().numpy(), batch.sum().item(), batch.tolist(), f'{batch.sum():.1f}'": "runs",
    "batch[torch.tensor([1])]": "runs",
    "batch * torch.tensor(2.0)": "runs",
}
SCRIPT = """
import sys
import numpy as np, torch
from torch.nn.functional import cross_entropy
import pretend_gpu
from helpers.training import best_device
kept = None if torch.accelerator.is_available() else pretend_gpu.start()
device = best_device()
network, batch = torch.nn.Linear(3, 2).to(device), torch.ones(2, 3, device=device)
for line in sys.argv[1:]:
    try:
        eval(line)
        print("runs")
    except (RuntimeError, TypeError) as error:
        print("stops")
"""


def test_a_gpu_stops_where_tensors_of_two_devices_meet():
    result = run_python(SCRIPT, *LINES, PYTHONPATH=REPOSITORY / "tests")
    assert dict(zip(LINES, result.stdout.split(), strict=True)) == LINES, result.stderr


def test_the_notebooks_run_on_a_gpu(tmp_path):
    """Each exercise as it is solved, and then as a learner gets it, with nothing solved."""
    learner(copies := tmp_path / "workbook")
    files = notebook_files()
    command = [sys.executable, REPOSITORY / "tests" / "on_gpu.py", copies, *files]
    settings = {"WORKSHOP_HOME": tmp_path / "home", "WORKSHOP_DATA": "sample"}
    result = run_process(command, timeout=1500, **settings)
    print(*re.findall(r"^(?:\d\d_.* s$|.*: not right yet.*)", result.stdout, flags=re.M), sep="\n")
    assert result.returncode == 0, result.stderr[-6000:]
    exercises = sum(file.read_text("utf-8").count(" = checks.") for file in files)
    assert result.stdout.count(": right. ") == exercises, result.stdout[-3000:]
    assert result.stdout.count(": not done yet. ") == exercises
