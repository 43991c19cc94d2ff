import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from helpers import plots


@pytest.fixture(autouse=True)
def figures(monkeypatch):
    """Keep what would be shown."""
    plt.close("all")
    monkeypatch.setattr(plt, "show", lambda: None)
    yield
    plt.close("all")


def test_pictures_keep_their_brightness():
    grey = torch.full((1, 4, 4), 0.5)
    colour = np.zeros((4, 4, 3), np.uint8)
    plots.show_pictures([grey, colour], titles=["a", "b"], columns=2, heading="H")
    axes = plt.gcf().axes
    assert axes[0].images[0].get_clim() == (0, 1)
    assert np.allclose(axes[0].images[0].get_array(), 0.5)
    assert axes[1].images[0].get_array().shape == (4, 4, 3)
    assert [axis.get_title() for axis in axes] == ["a", "b"]


def test_no_pictures_are_drawn_as_none():
    plots.show_pictures([])
    assert plt.gcf().axes[0].get_title() == "none"


def test_every_figure_says_what_it_shows():
    history = pd.DataFrame(
        {"epoch": [1, 2]}
        | {f"{p}_{q}": [0.5, 0.7] for p in ("train", "valid") for q in ("loss", "accuracy")}
    )
    plots.show_counts([0, 0, 1], ["a", "b"], "Finding")
    plots.show_curves({"run": history}, "Finding")
    plots.show_lines({"x": ([1, 2], [3, 4])}, "Finding", "epoch", "loss", top=5)
    plots.show_histograms({"a": np.zeros((4, 4), np.uint8)}, "Finding")
    plots.show_confusion(pd.DataFrame([[1, 0], [1, 2]], ["a", "b"], ["a", "b"]), "Finding")
    for number in plt.get_fignums():
        figure = plt.figure(number)
        titles = [figure.get_suptitle(), *(axis.get_title(loc="left") for axis in figure.axes)]
        assert "Finding" in titles
        for axis in figure.axes:
            assert axis.get_xlabel()
            assert min(text.get_fontsize() for text in axis.get_xticklabels()) >= 12


def test_curves_are_told_apart_by_more_than_colour():
    plots.show_lines({name: ([1, 2], [1, 2]) for name in "abc"}, "T", "x", "y")
    assert len(plt.gca().lines) == 3
    styles = {line.get_linestyle() for line in plt.gca().lines}
    assert len(styles) == 3
