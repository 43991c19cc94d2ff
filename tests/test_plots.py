import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.text import Text

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


def test_a_figure_is_described_in_words():
    plots.show_lines({"a": ([1, 2], [3, 4]), "b": ([1, 2], [4, 3])}, "Finding", "epoch", "loss")
    assert plots.describe(plt.gcf()) == "A chart. Finding: loss against epoch: a, b"
    plots.show_pictures([np.zeros((4, 4))] * 2, titles=["cat", "dog\n90 %"], heading="Two")
    assert plots.describe(plt.gcf()) == "2 pictures. Two; cat; dog, 90 %"
    plots.show_pictures([np.zeros((4, 4))] * 200, titles=["a long title"] * 200)
    assert len(plots.describe(plt.gcf())) == 400


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg"])
def test_a_notebook_gets_the_description_with_the_picture(monkeypatch, kind):
    shown = []
    monkeypatch.setattr(plt, "get_backend", lambda: "inline")
    monkeypatch.setattr("IPython.display.display", lambda data, **more: shown.append((data, more)))
    picture = np.zeros((4, 4, 3) if kind == "image/jpeg" else (4, 4))
    plots.show_pictures([picture], titles=["cat"])
    ((data, more),) = shown
    assert len(data[kind]) > 500 and data["text/plain"].startswith("<Figure size ")
    assert more == {"raw": True, "metadata": {kind: {"alt": "A picture. cat"}}}
    assert not plt.get_fignums()


# What the eye without one kind of cone sees, in linear RGB. Source: Machado, Oliveira and
# Fernandes, A physiologically-based model for simulation of color vision deficiency, 2009.
EYES = {
    "all cones": np.eye(3),
    "no long ones": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no middle ones": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no short ones": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize("eye", EYES)
def test_the_first_colours_differ_for_every_eye(eye):
    rgb = np.array([to_rgb(colour) for colour in plots.PALETTE[:4]])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = (linear @ np.array(EYES[eye]).T).clip(0, 1) ** (1 / 2.2)
    distances = [np.linalg.norm(a - b) for n, a in enumerate(seen) for b in seen[:n]]
    assert min(distances) > 0.15


def test_a_palette_that_some_eyes_mix_up_is_noticed():
    red_green = np.array([to_rgb("#b0502a"), to_rgb("#6b7a12")]) ** 2.2
    seen = (red_green @ np.array(EYES["no middle ones"]).T).clip(0, 1) ** (1 / 2.2)
    assert np.linalg.norm(seen[0] - seen[1]) < 0.15


def test_letters_are_large_enough_for_the_back_of_the_room():
    history = pd.DataFrame(
        {"epoch": [1, 2]}
        | {f"{p}_{q}": [0.5, 0.7] for p in ("train", "valid") for q in ("loss", "accuracy")}
    )
    plots.show_curves({"run": history}, "Finding")
    plots.show_lines({"x": ([1, 2], [3, 4])}, "Finding", "epoch", "loss")
    plots.show_bars({"a": 1, "b": 2}, "Finding", "in %")
    plots.show_confusion(pd.DataFrame([[1, 0], [1, 2]], ["a", "b"], ["a", "b"]), "Finding")
    plots.show_pictures([np.zeros((4, 4))], titles=["a"], heading="Finding")
    for number in plt.get_fignums():
        texts = [text for text in plt.figure(number).findobj(Text) if text.get_text()]
        assert min(text.get_fontsize() for text in texts) >= 12
