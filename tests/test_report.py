"""From a network to answers: probabilities, the confusion matrix, what a competition rejects."""

import pandas as pd
import pytest
import torch
from torch import nn

from helpers.batches import Batches
from helpers.data import Pictures
from helpers.report import class_scores, predict, submission_faults


def test_predictions_are_probabilities_in_order():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 3)).train()
    data = Pictures(torch.randint(0, 255, (7, 1, 2, 2), dtype=torch.uint8), torch.zeros(7).long())
    probabilities = predict(model, Batches(data, 0.5, 0.5, batch_size=3))
    assert probabilities.shape == (7, 3) and not probabilities.requires_grad
    assert torch.allclose(probabilities.sum(1), torch.ones(7))
    ((one, _),) = Batches(data[torch.tensor([5])], 0.5, 0.5)
    assert torch.allclose(probabilities[5], model(one).softmax(1)[0])


def test_each_class_has_its_scores():
    names = ["a", "b", "c"]
    scores = class_scores(pd.DataFrame([[1, 2, 0], [0, 1, 0], [0, 0, 0]], names, names))
    assert scores["pictures"].tolist() == [3, 1, 0]
    assert scores.loc["a", "recall"] == scores.loc["b", "precision"] == pytest.approx(1 / 3)
    assert scores.loc["c"].isna().sum() == 2  # never occurs, never named


FAULTS = {
    "": "Found: ''",
    "\ufeffID,Label\nx.png,0\n": "must be ID,Label. Found: '\\ufeffID,Label'",
    "ID,Label\nx.png,0\ny.png,2\n": "Line 4 must be z.png and a number from 0 to 2. Found: ''",
    "ID,Label\nx.png,0\ny.png,2\nz.png,1\nq.png,1\n": "Line 5 must be the end. Found: 'q.png,1'",
    "ID,Label\nx.png,0\ny.png,2\nz.png,1\nNone,0\n": "Line 5 must be the end",
    "ID,Label\nx.png,0\nx.png,0\ny.png,2\nz.png,1\n": "Line 3 must be y.png",
    "ID,Label\nx.png,0\ny.png,2.0\nz.png,1\n": "Found: 'y.png,2.0'",
    "ID,Label\nx.png,0\ny.png,3\nz.png,1\n": "a number from 0 to 2. Found: 'y.png,3'",
    "ID,Label\nx.png,0\ny.png,1\nz.png,1\n\n": "Line 5 must be the end",
}


def test_each_fault_of_a_submission_is_named(tmp_path):
    test_csv, file = tmp_path / "test.csv", tmp_path / "s.csv"
    test_csv.write_text("ID,Label\nx.png,\ny.png,\nz.png,\n")
    file.write_text("ID,Label\nx.png,0\ny.png,2\nz.png,1\n")
    assert submission_faults(file, test_csv, classes=3) == []
    for text, fault in FAULTS.items():
        file.write_text(text, encoding="utf-8")
        faults = submission_faults(file, test_csv, classes=3)
        assert len(faults) == 1 and fault in faults[0], (text, faults)
    file.write_bytes("ID,Label\nx.png,1\n".encode("utf-16"))
    assert "must be ID,Label" in submission_faults(file, test_csv, classes=3)[0]
