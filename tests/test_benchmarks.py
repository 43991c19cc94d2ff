"""The benchmarks' machinery, and the figures in the README; nothing here asserts a time."""

import itertools
import json

import numpy as np
import pytest
import torch
from benchmarks import __main__, courses, growth, page
from benchmarks.data_rows import consume, copies
from benchmarks.harness import Bench, Line, Pairs, Spread, as_dict, compared, from_dict, table
from conftest import REPOSITORY, write_png
from torch import nn

from helpers.cache import Pictures
from helpers.loaders import Batches


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path, quick=True)


def test_the_two_ways_alternate_and_the_warm_up_is_not_counted(bench):
    clock, calls = itertools.count(1), []

    def way(name):
        return lambda: calls.append(name) or float(next(clock))

    found = bench.pairs(way("course"), way("ours"))
    assert calls == ["course", "ours"] * 6
    assert found == Pairs([3, 5, 7, 9, 11], [4, 6, 8, 10, 12])


def test_fewer_than_five_pairs_are_refused(bench):
    with pytest.raises(ValueError, match="Expected at least 5"):
        bench.pairs(lambda: 1.0, lambda: 1.0, count=4)


def test_the_ratio_is_the_median_of_the_pairs_with_its_quartiles():
    pairs = Pairs([2.0, 4.0, 6.0, 8.0, 1000.0], [1.0] * 5)
    assert pairs.ratios() == Spread(6.0, 4.0, 8.0, 5)
    line = compared("work", "sample", "at least 5×", pairs, 5)
    assert line.met and (line.course, line.ours) == (6.0, 1.0)
    assert "6.00× (4.00–8.00)" in table([line]) and "at least 5×: met" in table([line])
    assert not compared("work", "sample", "at least 7×", pairs, 7).met
    assert not compared("work", "sample", "and flat", pairs, 5, met=False).met


def test_a_missed_goal_and_an_unmeasured_one_are_said():
    assert "goal: **missed**" in table([Line("work", "real", "goal", met=False)])
    assert "goal: not measured" in table([Line("work", "real", "goal")])


def test_a_row_of_the_harness_runs(bench, monkeypatch, home):
    """A tiny row from end to end, into build/benchmarks.json and back."""
    images = Pictures(torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8), torch.arange(20))
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.2, 0.3)
    slow = torch.utils.data.DataLoader(
        courses.OneArrayAtATime(images.images, images.labels, mean, std), batch_size=8
    )
    fast = Batches(images, mean, std, batch_size=8)
    for (a, x), (b, y) in zip(slow, fast, strict=True):
        assert torch.allclose(a, b, atol=1e-6) and torch.equal(x, y)

    def row(bench):
        from benchmarks.harness import seconds

        found = bench.pairs(seconds(lambda: consume(slow)), seconds(lambda: consume(fast)))
        assert min(found.course + found.ours) > 0 and len(found.course) == 5
        yield compared("tiny", "random", "none", found, 0)

    monkeypatch.setattr(__main__, "ROWS", {"tiny": (row, 1, 1)})
    report = __main__.measure(["tiny"], quick=True)
    assert page.read(home / "build" / "benchmarks.json") == report
    (line,) = page.lines_of(report)
    assert line.ratio.count == 5 and from_dict(as_dict(line)) == line


def test_a_copy_is_a_new_one():
    batch = torch.rand(3)
    (copy,) = copies([batch])
    assert torch.equal(copy, batch) and copy.data_ptr() != batch.data_ptr()


def test_the_courses_way_gives_the_same_features():
    network = nn.Conv2d(3, 4, 3).eval()
    pictures = torch.rand(5, 3, 8, 8)
    batches = [(pictures[:3], torch.tensor([0, 1, 2])), (pictures[3:], torch.tensor([3, 4]))]
    features, labels = courses.features_in_lists(network, batches)
    with torch.no_grad():
        assert np.allclose(features, network(pictures).numpy(), atol=1e-6)
    assert labels.tolist() == [0, 1, 2, 3, 4]


def test_the_courses_networks_have_the_shapes_of_the_description():
    assert courses.LeNet5(6, 1, 128)(torch.zeros(2, 1, 128, 128)).shape == (2, 6)
    classifier = courses.vgg_classifier()
    sizes = [layer.in_features for layer in classifier if isinstance(layer, nn.Linear)]
    assert sizes == [25088, 4096, 4096]
    assert [p.requires_grad for p in classifier.parameters()] == [False] * 4 + [True] * 2


def test_many_pictures_need_little_disk(tmp_path):
    write_png(tmp_path / "one.png", np.zeros((20, 20), dtype=np.uint8))
    folder = growth.linked_copies([tmp_path / "one.png"], tmp_path / "many", times=6)
    files = [*(folder / "pictures").iterdir()]
    assert len(files) == 6 and len({file.stat().st_ino for file in files}) == 1


def test_the_growth_figures_have_every_count_and_their_plot():
    rows = json.loads(growth.FIGURES.read_text())
    found = [(row["path"], row["pictures"]) for row in rows]
    assert found == [(path, count) for path in growth.PATHS for count in growth.COUNTS]
    assert all(value > 0 for row in rows for value in row.values() if not isinstance(value, str))
    assert growth.PLOT.read_bytes().startswith(b"\x89PNG")
    assert "](tests/benchmarks/growth.png)" in page.README.read_text(encoding="utf-8")


def test_the_readme_shows_the_committed_figures():
    text = page.README.read_text(encoding="utf-8")
    assert page.with_figures(text, page.read()) == text, "run python -m tests.benchmarks --write"


def test_a_readme_without_marks_is_not_touched():
    with pytest.raises(ValueError, match="lost its marks"):
        page.with_figures("# A page\n", page.read())


def test_the_committed_figures_name_each_row_once():
    report = page.read()
    assert list(report["rows"]) == [name for name in __main__.ROWS if name in report["rows"]]
    for lines in report["rows"].values():
        for line in lines:
            assert line["goal"] and (line["ratio"] is None or line["ratio"]["count"] >= 5)
    assert "/tmp" not in json.dumps(report) and str(REPOSITORY) not in json.dumps(report)
