"""Every figure is drawn, says what it shows, and can be told apart by every eye."""

import importlib
import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import font_manager
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from helpers import plots

HISTORY = pd.DataFrame(
    {"epoch": [1, 2]}
    | {f"{p}_{q}": [0.5, 0.7] for p in ("train", "valid") for q in ("loss", "accuracy")}
)
CONFUSION = pd.DataFrame([[1, 0], [1, 2]], ["a", "b"], ["a", "b"])
GREY, LINES = np.zeros((4, 4), np.uint8), {"x": ([1, 2], [3, 4]), "y": ([1, 2], [4, 3])}
PARTS = "run, training, run, validation"
CURVES = f"A chart. T; loss against epoch: {PARTS}; accuracy in % against epoch: {PARTS}"
NETWORK = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(196, 2))
LINE, KERNEL = torch.ones(4, 4), torch.ones(2, 2)
WINDOWS = "3 pictures. the picture, the window framed; products: their sum is 4; answers so far"
LAYERS = "A chart. T: side in pixels against channels, or outputs"
FIGURES = {  # what is said of it: what draws it
    "A chart. T: in %": (plots.show_bars, {"a": 1.2, "b": 2}, "T", "in %"),
    "A chart. T: in m": (plots.show_points, {"a": [1, 2], "b": [-1]}, "T", "in m"),
    "A chart. T: y against epoch: x, y": (plots.show_lines, LINES, "T", "epoch", "y", 5),
    LAYERS: (plots.show_network, NETWORK, 9, "T"),
    WINDOWS: (plots.show_windows, LINE, KERNEL, [8]),
    CURVES: (plots.show_curves, {"run": HISTORY}, "T"),
    "A picture. T: true against predicted": (plots.show_confusion, CONFUSION, "T"),
    "2 pictures. T; cat; dog, 9 %": (plots.show_pictures, [GREY] * 2, ["cat", "dog\n9 %"], 6, "T"),
    "A picture. none": (plots.show_pictures, []),
    "4 pictures. a; b": (plots.show_heat, torch.rand(2, 3, 8, 8), torch.rand(2, 2, 2), "ab"),
}


@pytest.fixture(autouse=True)
def figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("words", FIGURES)
def test_every_figure_is_drawn_and_says_what_it_shows(words):
    draw, *what = FIGURES[words]
    draw(*what)
    figure = plt.gcf()
    figure.savefig(io.BytesIO())
    assert plots.describe(figure) == words
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    assert min(text.get_fontsize() for text in texts) >= 12  # for the back of the room


FIFTH = [np.full((4, 5, 3), 51, np.uint8), torch.full((3, 4, 5), 51.0)]  # and floats of 0 to 255
FIFTH += [torch.full((1, 4, 5), 0.2), torch.full((3, 4, 5), 0.2).half(), np.full((4, 5), 51)]


@pytest.mark.parametrize("picture", FIFTH)
def test_pictures_keep_their_brightness(picture):
    plots.show_pictures([picture], titles=["a"])
    (image,) = plt.gcf().axes[0].images
    assert image.get_clim() == (0, 1) and image.get_array().shape[:2] == (4, 5)
    assert np.allclose(image.get_array(), 0.2, atol=1e-3)


def test_curves_are_told_apart_by_more_than_colour():
    plots.show_lines({name: ([1, 2], [1, 2]) for name in "abc"}, "T", "x", "y")
    assert len({line.get_linestyle() for line in plt.gca().lines}) == 3


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg"])
def test_a_notebook_gets_the_description_with_the_picture(monkeypatch, kind):
    shown = []
    monkeypatch.setattr(plt, "get_backend", lambda: "inline")
    monkeypatch.setattr(plots, "display", lambda data, **more: shown.append((data, more)))
    plots.show_pictures([np.zeros((4, 4, 3) if kind == "image/jpeg" else (4, 4))], titles=["cat"])
    ((data, more),) = shown
    assert len(data[kind]) > 500 and data["text/plain"].startswith("<Figure size ")
    assert more == {"raw": True, "metadata": {kind: {"alt": "A picture. cat"}}}
    assert not plt.get_fignums()


def test_the_fonts_of_east_asia_that_are_here_are_asked_for(monkeypatch):
    name = "Noto Sans CJK Test"
    known = [*font_manager.fontManager.ttflist, font_manager.FontEntry(name=name)]
    with monkeypatch.context() as patch:
        patch.setattr(font_manager.fontManager, "ttflist", known)
        importlib.reload(plots)
        assert plt.rcParams["font.family"][0] == "DejaVu Sans" and name in plots.FONTS[1:]
    importlib.reload(plots)


# What the eye without one kind of cone sees, in linear RGB. Source: Machado, Oliveira and
# Fernandes, A physiologically-based model for simulation of color vision deficiency, 2009.
EYES = {
    "all": [1, 0, 0, 0, 1, 0, 0, 0, 1],
    "no long": [0.152, 1.053, -0.205, 0.115, 0.786, 0.099, -0.004, -0.048, 1.052],
    "no middle": [0.367, 0.861, -0.228, 0.280, 0.673, 0.047, -0.012, 0.043, 0.969],
    "no short": [1.256, -0.077, -0.179, -0.078, 0.931, 0.148, 0.005, 0.691, 0.304],
}


@pytest.mark.parametrize("eye", EYES)
def test_the_first_colours_differ_for_every_eye(eye):
    rgb = np.array([to_rgb(colour) for colour in plots.PALETTE[:4]])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = (linear @ np.reshape(EYES[eye], (3, 3)).T).clip(0, 1) ** (1 / 2.2)
    distances = [np.linalg.norm(a - b) for n, a in enumerate(seen) for b in seen[:n]]
    assert min(distances) > 0.15
