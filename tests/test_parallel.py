"""Several processes: the same curve, every picture once, one writer, an end when one is killed."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import types
from pathlib import Path

import numpy as np
import pandas as pd
import parallel_work as work
import psutil
import pytest
from conftest import REPOSITORY, notebook_cell, run_python, write_png
from torch import nn
from torch.utils.data import DataLoader

from helpers import parallel, training
from helpers.catalog import FOOD
from helpers.checkpoints import load_model
from helpers.samples import sample_folder

TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
SAMPLE = f"sample-{FOOD.sample_version}"
SAME = {"rtol": 1e-4, "atol": 1e-6}  # the order of additions differs, nothing else
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    "PYTHONPATH": str(REPOSITORY),
}

if sys.platform == "win32":
    pytest.skip("started by torchrun with Gloo, which is tested on Linux", allow_module_level=True)


def torchrun(folder, task):
    words = [*TORCHRUN, "--standalone", "--nproc-per-node", "2", work.__file__, folder, task]
    return subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)


def numbers(history):
    return history.drop(columns="seconds").to_numpy()


FOLDERS = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which two processes have trained and computed features."""
    folder = tmp_path_factory.mktemp("two processes ä")
    rng = np.random.default_rng(0)
    for number in range(167):  # six blocks, the last one shorter
        (folder / "pictures" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        picture = rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)
        write_png(folder / "pictures" / "ab"[number % 2] / f"{number:03}.png", picture)
    result = torchrun(folder, "all")
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def alone():
    """The history of one process with the same batches."""
    return work.train(training.fit, None)


@pytest.mark.parametrize(("name", "digits"), [("batches", 4), ("loader", 9)])
def test_two_processes_have_the_curve_of_one(place, name, digits):
    one = work.train(training.fit, None, make=getattr(work, name))
    two = pd.read_csv(place / "rank-0" / name / "history.csv")
    assert one["train_loss"].iloc[-1] < one["train_loss"].iloc[0]
    np.testing.assert_allclose(numbers(two), numbers(one), rtol=10**-digits)


def test_batch_norm_on_cpus_stays_near(place):
    one = work.normed(training.fit, None)
    two = pd.read_csv(place / "rank-0" / "normed" / "history.csv")
    assert two["train_loss"].iloc[-1] == pytest.approx(one["train_loss"].iloc[-1], abs=0.2)
    kept = load_model(place / "rank-0" / "normed" / "model.safetensors")  # all have judged this one
    valid = work.batches(work.VALID, False, 3, 32)
    loss = training.evaluate(kept, valid, nn.CrossEntropyLoss()).loss
    assert np.isclose(two["valid_loss"], loss, rtol=1e-4).any()


def seen(place):
    return [json.loads((place / f"seen-{rank}.json").read_text()) for rank in range(2)]


def test_both_processes_have_the_same_history(place):
    first, second = seen(place)
    assert first["history"] == second["history"]


@pytest.mark.parametrize("name", ["batches", "loader"])
def test_evaluation_sees_every_picture_once(place, name):
    parts = [part[name] for part in seen(place)]
    assert [len(part) for part in parts] == [3, 2]  # the last batch has one picture
    rows = [row for part in parts for batch in part for row in batch]
    assert sorted(rows) == list(range(work.VALID)) and work.VALID % 2 == 1


def test_one_process_writes(place):
    assert not (place / "rank-1").exists()
    written = {file.name for file in (place / "rank-0" / "batches").iterdir()}
    assert written == {"history.csv", "last.pt", "metrics.json", "model.safetensors"}


def test_features_of_two_processes_are_those_of_one_byte_for_byte(place):
    threads = work.torch.get_num_threads()
    work.torch.set_num_threads(1)
    single = work.cache(place)
    single.load()
    work.torch.set_num_threads(threads)
    first, second = seen(place)
    both = place / "cache-2" / first["features"]
    assert first["features"] == second["features"] == single.file.name
    assert both.read_bytes() == single.file.read_bytes()
    assert first["computed"] == second["computed"] == 0  # at the end each only reads


def test_blocks_of_features_are_dealt_out_and_damaged_ones_computed_again(place):
    first, second = seen(place)
    assert (first["blocks"], second["blocks"]) == ([0, 1, 3, 5], [2, 4])
    assert (first["again"], second["again"]) == ([3, 4], [5])
    assert first["chosen"] == second["chosen"] != "None"


def test_features_come_also_where_the_file_cannot_be_written(place):
    assert [one["same"] for one in seen(place)] == [[True] * 3] * 2


def test_a_batch_too_small_to_deal_out_is_refused(monkeypatch):
    one_of_two = types.SimpleNamespace(process_index=0, num_processes=2)
    monkeypatch.setattr(parallel, "start", lambda: one_of_two)
    monkeypatch.setattr(work, "TRAIN", 41)  # the last batch has one picture
    with pytest.raises(ValueError, match="The last batch has 1 .* Choose another batch size"):
        work.train(parallel.fit, None)
    dropped = DataLoader(work.noisy(41), work.BATCH, drop_last=True)
    parallel._check(dropped, 2)
    with pytest.raises(ValueError, match="The last batch has 1 "):
        parallel._check(DataLoader(work.noisy(41), 1, drop_last=True), 2)


def test_a_loader_that_shuffles_differently_in_each_process_is_refused():
    loader = DataLoader(work.noisy(40), work.BATCH, shuffle=True)
    parallel._check(loader, 1)
    with pytest.raises(ValueError, match="may shuffle differently in each process"):
        parallel._check(loader, 2)


@pytest.mark.slow
def test_a_killed_process_ends_the_run_and_it_is_resumed(tmp_path, alone):
    result = torchrun(tmp_path, "kill")
    assert result.returncode != 0
    assert "SIGKILL" in result.stderr
    kept = pd.read_csv(tmp_path / "rank-0" / "run" / "history.csv")
    assert len(kept) == 2
    history = work.train(training.fit, tmp_path / "rank-0" / "run", resume=True)  # in one process
    np.testing.assert_allclose(numbers(history), numbers(alone), **SAME)


@pytest.mark.slow
def test_step_15_starts_two_processes_beside_a_gpu_as_well(tmp_path):
    shutil.copytree(sample_folder(FOOD), tmp_path / "data" / "food" / SAMPLE)
    before = """
        import torch
        from helpers import parallel
        from helpers.catalog import run_folder

        EPOCHS = 1
        torch.cuda.is_available = lambda: True
        """
    cell = notebook_cell(15, "import notebook_launcher").removeprefix("%%capture\n")
    cell = cell.replace("notebook_launcher(", "None(")  # it would fork
    variables = ENVIRONMENT | {"WORKSHOP_HOME": tmp_path}
    result = run_python(textwrap.dedent(before) + cell, **variables)
    assert result.returncode == 0, result.stderr
    assert len(pd.read_csv(tmp_path / "runs" / "food" / "parallel" / "history.csv")) == 1


FROM_A_NOTEBOOK = """
import parallel_work, pathlib, sys
from accelerate import notebook_launcher

place = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0"}
task = getattr(parallel_work, sys.argv[1])
notebook_launcher(task, (pathlib.Path(sys.argv[2]),), num_processes=2, **place)
"""


def test_a_killed_process_is_named(tmp_path):
    result = run_python(FROM_A_NOTEBOOK, "die", tmp_path, **ENVIRONMENT | {"PYTHONPATH": FOLDERS})
    assert result.returncode == 1
    assert "Signal 9 (SIGKILL)" in result.stderr and "rank      : 1" in result.stderr


def test_the_processes_end_when_the_kernel_is_stopped(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", FROM_A_NOTEBOOK, "idle", str(tmp_path)],
        env=ENVIRONMENT | {"PYTHONPATH": FOLDERS},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        while not all((tmp_path / rank).is_file() for rank in "01"):
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)  # to the first process alone
        _, said = process.communicate(timeout=120)
        assert b"got signal: 2" in said
        started = [int((tmp_path / rank).read_text()) for rank in "01"]
        _, alive = psutil.wait_procs(
            [psutil.Process(p) for p in started if psutil.pid_exists(p)], 30
        )
        assert not alive
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


CABLE = """
ip link set lo up
unshare -n sleep 300 & other=$!
trap 'kill $other' EXIT
until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
inside="nsenter -t $other -n"
ip link add name first type veth peer name second
ip link set second netns $other
ip address add 192.168.1.10/24 dev first
$inside ip address add 192.168.1.11/24 dev second
ip link set first up
$inside ip link set lo up
$inside ip link set second up
export GLOO_SOCKET_IFNAME
"""
BOTH = """
    GLOO_SOCKET_IFNAME=second $inside %s & there=$!
    here=0; GLOO_SOCKET_IFNAME=first %s || here=$?
    theirs=0; wait $there || theirs=$?
    echo "$task: $here and $theirs"
"""


@pytest.fixture
def two_hosts(namespace):
    """Run a line on each of two hosts with a cable between them, once for each task."""
    cable = "ip link add name first type veth peer name second"
    if not shutil.which("ip") or namespace(["-n"], cable).returncode:
        pytest.skip("no veth pairs in network namespaces here (iproute2, unshare -r -n)")

    def run(first, second, *tasks, **variables):
        script = f"{CABLE}for task in {' '.join(tasks)}; do {BOTH % (second, first)}done"
        return namespace(["-n"], script, **ENVIRONMENT | variables)

    return run


@pytest.mark.slow
def test_two_hosts_with_a_cable_between_them(tmp_path, two_hosts, alone):
    torchrun = " ".join(TORCHRUN) + " --nnodes 2 --nproc-per-node 1 --node-rank {}"
    line = f'{torchrun} --master-addr 192.168.1.10 --master-port 29500 "$WORK" "$PLACE" $task'
    variables = {"WORK": work.__file__, "PLACE": tmp_path}
    result = two_hosts(line.format(0), line.format(1), "kill", "resume", **variables)
    assert result.stdout.splitlines() == ["kill: 1 and 1", "resume: 0 and 0"], result
    assert "ConnectionError: Another process of this run is gone." in result.stderr
    history = pd.read_csv(tmp_path / "rank-0" / "run" / "history.csv")
    np.testing.assert_allclose(numbers(history), numbers(alone), **SAME)
    assert not (tmp_path / "rank-1").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher", ["torchrun --nnodes 2", "accelerate launch --multi_gpu --num_machines 2"]
)
def test_the_lines_of_step_15_start_two_machines(launcher, tmp_path, two_hosts):
    lines = notebook_cell(15, "On the command line").splitlines()
    lines = [line for line in lines if line.startswith(launcher)]
    for four, one in (("per-node 4", "per-node 1"), ("num_processes 8", "num_processes 2")):
        lines = [line.replace(four, one) for line in lines]
    homes = [tmp_path / "first", tmp_path / "second"]
    for home in homes:
        shutil.copytree(sample_folder(FOOD), home / "data" / "food" / SAMPLE)
    folder = str(Path(sys.executable).parent)
    lines = [
        f"env WORKSHOP_HOME={home} {line} --epochs 1"
        for home, line in zip(homes, lines, strict=True)
    ]
    result = two_hosts(*lines, "train", PATH=os.pathsep.join([folder, os.environ["PATH"]]))
    assert result.stdout.splitlines()[-1] == "train: 0 and 0", result
    assert (homes[0] / "runs" / "food" / "parallel" / "model.safetensors").is_file()
    assert not (homes[1] / "runs").exists()


def test_one_process_keeps_its_threads():
    code = "import torch; torch.set_num_threads(2)\nfrom helpers.parallel import start\nstart()\n"
    assert run_python(code + "print(torch.get_num_threads())").stdout == "2\n"
