"""Loggers: what `fit` promises, and those of step 13: files read back, calls, a killed run."""

import os
import re
import signal
import sys
import types

import pytest
from browsing import SHOTS, browser, new_page
from conftest import notebook_cell, run_python
from test_training import StopsAt, setup

from helpers.catalog import run_folder
from helpers.training import fit


def taught(name):
    """Return a class that step 13 defines."""
    names = {}
    exec(notebook_cell(13, f"class {name}:"), names)
    return names[name]


TensorBoard, MLflow = taught("TensorBoard"), taught("MLflow")
NAMES = ["train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "seconds"]


class Notes:
    """A logger that remembers what it was told."""

    def __init__(self, breaks=""):
        self.calls, self.breaks = [], breaks

    def log(self, epoch, numbers):
        self.calls.append((epoch, list(numbers)))
        if self.breaks == "log":
            raise OSError("the disk is full")

    def close(self, finished=True):
        self.calls.append(finished)
        if self.breaks == "close":
            raise OSError("the disk is full")


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def steps(folder, name="valid_accuracy"):
    return [event.step for event in read(folder).Scalars(name)]


def test_each_logger_is_given_every_epoch_and_closed():
    first, second = Notes(), Notes()
    fit(**setup(), epochs=2, loggers=(logger for logger in (first, second)))
    assert first.calls == second.calls == [(1, NAMES), (2, NAMES), True]


def test_a_training_that_stops_closes_them_as_not_finished(tmp_path):
    notes, parts = Notes(), setup()
    parts["valid"] = StopsAt(parts["valid"], 2)
    with pytest.raises(KeyboardInterrupt):
        fit(**parts, epochs=3, loggers=[notes, TensorBoard(tmp_path, {"rate": 1.0})])
    assert notes.calls == [(1, NAMES), False]
    assert steps(tmp_path) == [1] and not hparams(tmp_path)


@pytest.mark.parametrize("breaks", ["log", "close"])
def test_a_logger_that_fails_loses_no_epoch_and_closes_the_others(tmp_path, breaks):
    bad, notes = Notes(breaks), Notes()
    with pytest.raises(OSError, match="the disk is full"):
        fit(**setup(), epochs=2, run=tmp_path, loggers=[notes, bad])
    assert notes.calls[-1] is (breaks == "close")
    assert (tmp_path / "last.pt").is_file()
    again = fit(**setup(), epochs=2, run=tmp_path, resume=True, loggers=[Notes()])
    assert list(again["epoch"]) == [1, 2]


def test_what_is_no_logger_is_refused_before_the_training():
    notes = Notes()
    with pytest.raises(TypeError, match="'runs/a' is no logger: expected the methods"):
        fit(**setup(), epochs=1, loggers=[notes, "runs/a"])
    assert not notes.calls


def test_a_run_can_go_without_a_bar(capsys):
    fit(**setup(), epochs=1, desc=None)
    assert capsys.readouterr().err == ""


def hparams(folder):
    events = read(folder)
    has_some = "hparams" in events._plugin_to_tag_to_content
    return events.PluginTagToContent("hparams") if has_some else {}


def test_tensorboard_reads_the_same_numbers_back(tmp_path):
    settings = {"rate": 0.01, "network": "LeNet", "augmented": False}
    history = fit(**setup(), epochs=3, loggers=[TensorBoard(tmp_path, settings)])
    events = read(tmp_path)
    assert sorted(events.Tags()["scalars"]) == sorted([*NAMES, "last/valid_accuracy"])
    for name in NAMES:
        values = [event.value for event in events.Scalars(name)]
        assert values == pytest.approx(history[name].tolist(), rel=1e-5)
    assert steps(tmp_path) == [1, 2, 3]
    (last,) = events.Scalars("last/valid_accuracy")
    assert last.value == pytest.approx(history["valid_accuracy"].iloc[-1])
    assert sorted(hparams(tmp_path)) == [
        *("_hparams_/experiment", "_hparams_/session_end_info", "_hparams_/session_start_info"),
    ]
    start = hparams(tmp_path)["_hparams_/session_start_info"]
    assert all(name.encode() in start for name in [*settings, "LeNet"])


def test_a_resumed_run_goes_on(tmp_path):
    for epochs in (2, 3, 3):  # at last there is nothing to do
        board = TensorBoard(tmp_path, {"rate": 0.01})
        fit(**setup(), epochs=epochs, run=tmp_path, resume=True, loggers=[board])
    assert steps(tmp_path) == [1, 2, 3]


KILLED = """
import os, signal, sys
sys.path.insert(0, "tests")
import test_training
from helpers.training import fit
from test_tracking import TensorBoard

class KilledAt(test_training.StopsAt):
    def __iter__(self):
        if self.left == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        return iter(self.batches)

parts = test_training.setup()
parts["valid"] = KilledAt(parts["valid"], 3)
fit(**parts, epochs=5, loggers=[TensorBoard(sys.argv[1], {"rate": 0.01})])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_run_leaves_readable_events(tmp_path):
    process = run_python(KILLED, tmp_path)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert steps(tmp_path) == [1, 2]  # it died in the third epoch


class FakeClient:
    """MlflowClient as its documentation has it, with a list for a store."""

    calls: list = []  # noqa: RUF012

    def __init__(self, tracking_uri=None, registry_uri=None):
        self.calls.append(("store", tracking_uri))

    def create_run(self, experiment_id, start_time=None, tags=None, run_name=None):
        self.calls.append(("create_run", experiment_id, run_name))
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1"))

    def log_param(self, run_id, key, value, synchronous=None):
        self.calls.append(("param", run_id, key, value))

    def log_metric(self, run_id, key, value, timestamp=None, step=None, synchronous=None):
        self.calls.append(("metric", run_id, key, step))

    def set_terminated(self, run_id, status=None, end_time=None):
        self.calls.append(("end", run_id, status))


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(FakeClient, "calls", [])
    monkeypatch.setitem(sys.modules, "mlflow", types.SimpleNamespace(MlflowClient=FakeClient))
    return FakeClient.calls


def test_mlflow_is_told_the_same(tmp_path, fake):
    store = tmp_path / "mlflow.db"
    fit(**setup(), epochs=2, loggers=[MLflow(store, "first", {"rate": 0.01}), Notes()])
    assert fake[0] == ("store", f"sqlite:///{store.as_posix()}")
    assert fake[1:3] == [("create_run", "0", "first"), ("param", "r1", "rate", 0.01)]
    assert fake[3:-1] == [("metric", "r1", name, epoch) for epoch in (1, 2) for name in NAMES]
    assert fake[-1] == ("end", "r1", "FINISHED")


def test_mlflow_learns_of_a_failure(tmp_path, fake):
    with pytest.raises(FloatingPointError):
        fit(**setup(rate=1e20), epochs=2, loggers=[MLflow(tmp_path / "m.db", "bad", {})])
    assert fake[-1] == ("end", "r1", "FAILED")


def train_with_mlflow(home, monkeypatch, capsys):
    """Run the cell that trains once more, and return what it prints."""

    def train_one(loggers, **_):
        return None, fit(**setup(), epochs=2, loggers=loggers, desc=None)

    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "")
    names = {"run_folder": run_folder, "train_one": train_one, "MLflow": MLflow, "chosen": "a"}
    exec(
        notebook_cell(13, "loggers=[MLflow("),
        names | dict.fromkeys(["network", "rate", "augmented"], 1),
    )
    return capsys.readouterr().out


def test_mlflow_sends_nothing_home(home, monkeypatch, capsys, fake):
    said = train_with_mlflow(home, monkeypatch, capsys)
    assert 'mlflow ui --backend-store-uri "sqlite:///' in said and fake[-1][-1] == "FINISHED"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_where_mlflow_is_not_installed_the_cell_says_so(home, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mlflow", None)  # Python then says that it is not there
    said = train_with_mlflow(home, monkeypatch, capsys)
    assert said == "Skipped: MLflow is not installed. See the text above.\n"


@pytest.mark.browser
def test_the_button_of_the_notebook_shows_tensorboard_from_this_machine_only(tmp_path):
    fit(**setup(), epochs=2, loggers=[TensorBoard(tmp_path / "first", {"rate": 0.01})])
    names = {"grid": tmp_path}
    exec(notebook_cell(13, "def show_board"), names)
    names["start"].click()
    (address,) = re.findall(r'src="(http://127\.0\.0\.1:\d+/)"', names["place"].value)
    with browser() as opened, new_page(opened) as page:  # fails if anything else is asked for
        page.goto(address)
        page.get_by_text("valid_accuracy").first.wait_for()
        page.get_by_text("HParams").first.click()
        page.get_by_text("rate").first.wait_for()
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / "tensorboard.png")
