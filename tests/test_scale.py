"""Several processes: the losses of one, one that writes, and a checkpoint that all share."""

import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import free_port, notebook_cell, run_process, run_python

from helpers import scale
from helpers.catalog import run_folder

ENVIRONMENT = {"OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "", "MASTER_ADDR": "127.0.0.1"}

if sys.platform == "win32":
    pytest.skip("started by torchrun with Gloo, which is tested on Linux", allow_module_level=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A home with a run of three epochs in one process, and one that stopped after the first."""
    home = tmp_path_factory.mktemp("scale") / "Größe 数据"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKSHOP_HOME", str(home))
        scale.train_food(run_folder("food", "alone"), epochs=3)
        scale.train_food(run_folder("food", "stopped"), epochs=1)
    return home


@pytest.fixture
def alone(trained, monkeypatch):
    """The history of the whole run; that of all processes goes on where the other stopped."""
    monkeypatch.setenv("WORKSHOP_HOME", str(trained))
    parallel = run_folder("food", "parallel")
    shutil.rmtree(parallel, ignore_errors=True)
    shutil.copytree(run_folder("food", "stopped"), parallel)
    return pd.read_csv(run_folder("food", "alone") / "history.csv")


def same(folder, history):
    found = pd.read_csv(folder / "history.csv")
    assert found["train_loss"].iloc[-1] < found["train_loss"].iloc[0]
    columns = ["train_loss", "valid_loss"]  # the order of additions differs, nothing else
    np.testing.assert_allclose(found[columns], history[columns][: len(found)], rtol=1e-4)
    return len(found)


LAUNCHER = """
import os, sys, torch, torch._dynamo  # as in a notebook that has trained before
from accelerate import notebook_launcher
from helpers import scale
from helpers.catalog import run_folder

def fit(model, loader, *rest, fit=scale.fit, **options):
    seen = [pictures.mean(dim=(1, 2, 3)) for pictures, _ in loader]
    torch.save((seen, torch.get_num_threads()), run_folder("food", os.environ["RANK"] + ".pt"))
    return fit(model, loader, *rest, **options)

scale.fit = fit
words = run_folder("food", "parallel"), 2, True
notebook_launcher(scale.train_food, words, num_processes=2, use_port=sys.argv[1])
"""


def test_two_processes_have_the_losses_of_one_and_resume_for_each_other(alone):
    run = run_folder("food", "parallel")
    result = run_python(LAUNCHER, free_port(), **ENVIRONMENT)
    assert result.returncode == 0, result.stderr
    seen = [torch.load(run_folder("food", f"{rank}.pt")) for rank in range(2)]
    assert [threads for _, threads in seen] == [1, 1]  # more hang where a notebook has forked them
    first, second = (batches for batches, _ in seen)
    assert [len(part) for part in first + second] == [12] * 18  # half of the 24 each
    assert not set(torch.cat(first).tolist()) & set(torch.cat(second).tolist())
    assert same(run, alone) == 2
    scale.train_food(run, epochs=3, resume=True)
    assert same(run, alone) == 3
    assert len(list(run.iterdir())) == 4


@pytest.mark.parametrize("content", [b"new", b""])
def test_every_machine_goes_on_from_the_checkpoint_of_the_first(content, tmp_path, monkeypatch):
    file = tmp_path / "run" / "last.pt"
    file.parent.mkdir()
    monkeypatch.setattr(scale, "broadcast_object_list", lambda objects: objects.insert(0, content))
    for leads, first_here in ((True, True), (False, True), (False, False)):
        file.write_bytes(b"old")
        about = {"is_main_process": leads, "is_local_main_process": first_here}
        scale.share_checkpoint(SimpleNamespace(**about, wait_for_everyone=lambda: None), file)
        found = file.read_bytes() if file.is_file() else b""
        assert found == (content if not leads and first_here else b"old")


MACHINES = """
WORKSHOP_HOME=$SECOND timeout -k 5 120 $THERE & there=$!
WORKSHOP_HOME=$FIRST timeout -k 5 120 $HERE
wait $there
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what it needs has other names there")
def test_the_lines_of_step_15_start_two_machines(alone, trained, tmp_path):
    """Both are this one, and each has a home of its own."""
    lines = notebook_cell(15, "On the command line").replace("per-node 4", "per-node 1")
    lines = lines.replace("192.168.1.10", "127.0.0.1").replace("29500", free_port())
    here, there = (f"{x} --epochs 2 --resume" for x in lines.splitlines() if "--nnodes 2" in x)
    folder = str(Path(sys.executable).parent)
    variables = ENVIRONMENT | {"PATH": os.pathsep.join([folder, os.environ["PATH"]])}
    variables |= {"HERE": here, "THERE": there, "FIRST": trained, "SECOND": tmp_path / "second"}
    result = run_process(["sh", "-ec", MACHINES], GLOO_SOCKET_IFNAME="lo", **variables)
    assert result.returncode == 0, result
    assert same(run_folder("food", "parallel"), alone) == 2
    second = tmp_path / "second" / "runs" / "food" / "parallel"
    assert [file.name for file in second.iterdir()] == ["last.pt"]  # that of the first, to begin
