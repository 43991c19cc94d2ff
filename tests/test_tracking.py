"""The logger of step 13: what it writes is read back, also of a training that stopped or died."""

import json
import re
import urllib.request

import pytest
from conftest import notebook_cell
from test_training import NAMES, setup

from helpers.training import fit

pytest.importorskip("tensorboard", reason="no TensorBoard: it is in the extra track")
SETTINGS = {"rate": 0.01, "network": "LeNet", "augmented": False}


def cell(text, **names):
    """Run a cell of step 13 and return the names that it knows."""
    exec(notebook_cell(13, text), names)
    return names


TensorBoard = cell("class TensorBoard:")["TensorBoard"]


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def steps(folder):
    return [event.step for event in read(folder).Scalars("valid_accuracy")]


def hparams(folder):
    return read(folder)._plugin_to_tag_to_content.get("hparams", {})


def test_a_finished_training_has_its_settings_beside_its_last_accuracy(tmp_path):
    history = fit(**setup(), epochs=2, loggers=[TensorBoard(tmp_path, SETTINGS)])
    (last,) = read(tmp_path).Scalars("last/valid_accuracy")
    assert last.value == pytest.approx(history["valid_accuracy"].iloc[-1])
    start = hparams(tmp_path)["_hparams_/session_start_info"]
    assert all(name.encode() in start for name in [*SETTINGS, "LeNet"])


def test_a_killed_run_leaves_readable_events(tmp_path):
    board = TensorBoard(tmp_path, SETTINGS)
    for epoch in (1, 2):
        board.log(epoch, dict.fromkeys(NAMES, 0.5))
        assert steps(tmp_path) == list(range(1, epoch + 1))  # already in the file, unclosed
    board.close(finished=False)  # as of a training that was stopped
    assert steps(tmp_path) == [1, 2] and not hparams(tmp_path)


def test_a_resumed_run_goes_on(tmp_path):
    for epochs in (2, 3, 3):  # at last there is nothing to do
        board = TensorBoard(tmp_path, SETTINGS)
        fit(**setup(), epochs=epochs, run=tmp_path, resume=True, loggers=[board])
    assert steps(tmp_path) == [1, 2, 3]


def test_the_button_of_the_notebook_serves_this_machine_only(tmp_path):
    fit(**setup(), epochs=1, loggers=[TensorBoard(tmp_path / "first", SETTINGS)])
    names = cell("def show_board", grid=tmp_path)
    names["start"].click()
    (address,) = re.findall(r'src="(http://127\.0\.0\.1:\d+/)"', names["place"].value)
    with urllib.request.urlopen(f"{address}data/plugin/scalars/tags", timeout=60) as answer:
        assert "valid_accuracy" in json.load(answer)["first"]


def test_a_training_without_progress_ends_early(capsys):
    """Step 13: the lowest loss is that of epoch 3, and five more are waited for."""

    def train_one(*settings, loggers, epochs, **more):
        for epoch in range(1, epochs + 1):
            loggers[0].log(epoch, {"valid_loss": abs(epoch - 3) + 1.0})

    cell("[Patience(5)]", **cell("class Patience:"), train_one=train_one)
    assert capsys.readouterr().out == "stopped after epoch 8\n"
