import pytest
import torch
from torch import nn

from helpers.cache import Pictures
from helpers.loaders import Batches
from helpers.report import class_scores, confusion_matrix, predict, submission_faults

CLASSES = ("a", "b", "c")


def test_predictions_are_probabilities_in_order():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 3)).train()
    data = Pictures(torch.randint(0, 255, (7, 1, 2, 2), dtype=torch.uint8), torch.zeros(7).long())
    probabilities = predict(model, Batches(data, 0.5, 0.5, batch_size=3))
    assert probabilities.shape == (7, 3)
    assert torch.allclose(probabilities.sum(1), torch.ones(7))
    one, _ = next(iter(Batches(data[torch.tensor([5])], 0.5, 0.5)))
    assert torch.allclose(probabilities[5], model(one).softmax(1)[0])
    assert not probabilities.requires_grad
    with pytest.raises(ValueError, match="no batch"):
        predict(model, [])
    with pytest.raises(ValueError, match="no batch"):
        predict(model, Batches(data[torch.arange(0)], 0.5, 0.5))


def test_the_confusion_matrix_has_truth_in_rows():
    truth, predicted = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 1, 1, 1])
    table = confusion_matrix(truth, predicted, CLASSES)
    assert table.loc["a", "b"] == 2
    assert table.to_numpy().sum() == 4
    scores = class_scores(table)
    assert scores.loc["a", "recall"] == pytest.approx(1 / 3)
    assert scores.loc["b", "precision"] == pytest.approx(1 / 3)
    assert scores.loc["c"].isna().sum() == 2  # never occurs, never named


@pytest.fixture
def submission(tmp_path):
    (tmp_path / "test.csv").write_text("ID,Label\nx.png,\ny.png,\nz.png,\n")
    (tmp_path / "s.csv").write_text("ID,Label\nx.png,0\ny.png,2\nz.png,1\n")
    return tmp_path / "s.csv"


def test_a_right_submission_has_no_faults(submission):
    assert submission_faults(submission, submission.with_name("test.csv"), classes=3) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "Found: an empty file"),
        ("\ufeffID,Label\nx.png,0\n", "starts with a byte order mark"),
        ("id,label\nx.png,0\n", "The first line must be ID,Label. Found: id,label"),
        (",ID,Label\n0,x.png,0\n", "Found: ,ID,Label"),
        ("ID,Label\nx.png,0\ny.png,2\n", "IDs are missing (1), for example z.png"),
        (
            "ID,Label\nx.png,0\ny.png,2\nz.png,1\nq.png,1\n",
            "not in the test set (1), for example q",
        ),
        ("ID,Label\nx.png,0\nx.png,0\ny.png,2\nz.png,1\n", "more than once, for example x.png"),
        ("ID,Label\ny.png,0\nx.png,2\nz.png,1\n", "not in the order of test.csv"),
        ("ID,Label\nx.png,0\ny.png,2.0\nz.png,1\n", "y.png has the label '2.0', not a whole"),
        ("ID,Label\nx.png,0\ny.png,3\nz.png,1\n", "y.png has the label '3'"),
        ("ID,Label\nx.png,0\ny.png\nz.png,1\n", "Line 3 does not have two values"),
    ],
)
def test_each_fault_of_a_submission_is_named(submission, text, fault):
    submission.write_text(text)
    faults = submission_faults(submission, submission.with_name("test.csv"), classes=3)
    assert any(fault in sentence for sentence in faults), faults


def test_a_submission_that_cannot_be_read_is_a_fault(submission):
    test_csv = submission.with_name("test.csv")
    assert "no file" in submission_faults(submission.with_name("none.csv"), test_csv, 3)[0]
    submission.write_bytes("ID,Label\nx.png,ä\n".encode("utf-16"))
    assert "UTF-8" in submission_faults(submission, test_csv, 3)[0]
