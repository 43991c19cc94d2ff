"""Everything that draws: pictures, counts, curves and confusion matrices; nothing else does."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.core.pylabtools import print_figure
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from torch import nn

from helpers.models import layer_outputs

# Okabe and Ito's palette: distinct for colour-blind eyes too. Source: jfly.uni-koeln.de/color
PALETTE = ("#0072B2", "#D55E00", "#E69F00", "#CC79A7", "#56B4E9", "#009E73")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
# for class names in Chinese, Japanese and Korean; matplotlib's own font has no such letters
EAST_ASIAN = ("Noto Sans CJK", "Source Han Sans", "WenQuanYi", "Microsoft YaHei", "Malgun Gothic")
EAST_ASIAN += ("Yu Gothic", "PingFang", "Hiragino Sans", "Apple SD Gothic", "Droid Sans Fallback")
FONTS = ["DejaVu Sans", *sorted(n for n in get_font_names() if n.startswith(EAST_ASIAN))]

plt.rc("axes", prop_cycle=plt.cycler(color=PALETTE), titlelocation="left", titlesize=15)
plt.rc("axes.spines", right=False, top=False)
plt.rc("figure", dpi=80, facecolor="white")  # readable in a dark JupyterLab too
plt.rc("font", family=FONTS, size=13)
plt.rc("lines", linewidth=2.5)


def show_pictures(pictures: Sequence, titles=(), columns: int = 6, heading: str = "") -> None:
    """Show pictures side by side, in true brightness.

    Each is (height, width), (channels, height, width) or (height, width, 3), as uint8 0..255 or
    float 0..1. `titles` has one a picture; `heading` stands above all.
    """
    if not len(pictures):
        pictures, titles = [np.ones((8, 8))], ["none"]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    side = min(2.8, 12 / columns)  # inches
    size = side * columns, side * rows * (1.15 if len(titles) else 1) + 0.4 * bool(heading)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat[len(pictures) :]:
        axis.axis("off")
    for number, (axis, picture) in enumerate(zip(axes.flat, pictures, strict=False)):
        _draw(axis, picture)
        if len(titles):
            axis.set_title(titles[number], fontsize=12, loc="center")
    figure.suptitle(heading, x=0.01, ha="left", fontsize=15)
    _show()


def _show() -> None:
    """Show the figure, in a notebook with a description for those who cannot see it."""
    if "inline" not in plt.get_backend():
        plt.show()
        return
    figure = plt.gcf()
    images = [image for axis in figure.axes for image in axis.images]
    in_colour = any(image.get_array().ndim == 3 for image in images)  # a fifth of the bytes as JPEG
    kind, options = ("jpeg", {"pil_kwargs": {"quality": 85}}) if in_colour else ("png", {})
    mime = f"image/{kind}"
    data = {mime: print_figure(figure, kind, base64=True, **options), "text/plain": repr(figure)}
    display(data, raw=True, metadata={mime: {"alt": describe(figure)}})
    plt.close(figure)


def describe(figure: Figure) -> str:
    """Return in words what a figure shows, at most 400 characters: its titles, axes and lines."""
    parts = [figure.get_suptitle()]
    for axis in figure.axes:
        title = axis.get_title(loc="left") or axis.get_title()
        labels = " against ".join(filter(None, (axis.get_ylabel(), axis.get_xlabel())))
        lines = [line.get_label() for line in axis.get_lines()]
        names = ", ".join(name for name in lines if name and not name.startswith("_"))
        parts.append(": ".join(filter(None, (title, labels, names))))
    pictures = sum(bool(axis.images) for axis in figure.axes)
    start = f"{pictures} pictures" if pictures > 1 else "A picture" if pictures else "A chart"
    text = "; ".join(filter(None, parts)).replace("\n", ", ")
    return f"{start}. {text}"[:400]


def _draw(axis: Axes, picture: torch.Tensor | np.ndarray) -> None:
    """Draw one picture without stretching its brightness."""
    pixels = np.asarray(picture)
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3):
        pixels = pixels.transpose(1, 2, 0)  # (C, H, W) -> (H, W, C)
    if pixels.dtype == np.uint8 or pixels.max(initial=0) > 10:  # floats of 0 to 255
        pixels = pixels / 255
    axis.imshow(pixels.clip(0, 1), cmap="gray", vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(visible=True, color="0.7")  # a white picture would melt into the page


def _write(axis: Axes, texts: np.ndarray, white: np.ndarray) -> None:
    """Write a text into each cell, in white where that is True, else in black."""
    for (row, column), text in np.ndenumerate(texts):
        colour = "white" if white[row, column] else "black"
        axis.text(column, row, text, ha="center", va="center", color=colour)


def show_windows(picture: torch.Tensor, kernel: torch.Tensor, places: Sequence[int]) -> None:
    """Show a convolution, a row for each place: the window, its products, the answers up to there.

    `picture` and `kernel` are small, (height, width); places count row by row from 0. Grey is zero.
    """
    height, width = kernel.shape
    answers = torch.nn.functional.conv2d(picture[None, None], kernel[None, None])[0, 0].numpy()
    size = (10, 3.5 * len(places))
    _, axes = plt.subplots(len(places), 3, figsize=size, squeeze=False, layout="constrained")
    for panels, place in zip(axes, places, strict=True):
        row, column = divmod(place, answers.shape[1])
        products = (picture[row : row + height, column : column + width] * kernel).numpy()
        so_far = answers.copy()
        so_far.flat[place + 1 :] = np.nan
        named = {
            "the picture, the window framed": picture.numpy(),
            f"products: their sum is {answers[row, column]:g}": products,
            "answers so far": so_far,
        }
        for axis, (title, numbers) in zip(panels, named.items(), strict=True):
            most = np.nanmax(np.abs(numbers)) or 1
            _draw(axis, 0.5 + numbers / most / 2)
            texts = np.vectorize(lambda number: "" if np.isnan(number) else f"{number:g}")(numbers)
            _write(axis, texts, white=numbers < 0)
            axis.set_facecolor("#d6e6f2")  # blue: not computed yet
            axis.set_title(title, fontsize=13)
        style = {"fill": False, "edgecolor": PALETTE[1], "linewidth": 4}
        panels[0].add_patch(plt.Rectangle((column - 0.5, row - 0.5), width, height, **style))
    _show()


def show_heat(pictures: Sequence, maps: Sequence[torch.Tensor], titles: Sequence[str]) -> None:
    """Show pictures (3, H, W), 0..1, and below each the same with a map (h, w) from 0 laid over."""
    _, axes = plt.subplots(2, len(pictures), figsize=(12, 4.6), squeeze=False, layout="constrained")
    for (above, below), picture, heat, title in zip(axes.T, pictures, maps, titles, strict=True):
        _draw(above, picture)
        above.set_title(title, fontsize=12, loc="center")
        _draw(below, picture.mean(dim=0, keepdim=True))
        over_it = {"extent": below.images[0].get_extent(), "interpolation": "bilinear"}
        below.imshow(heat.cpu().numpy(), "inferno", alpha=0.6, **over_it)
    _show()


def show_network(network: nn.Module, size: int, title: str) -> None:
    """Show what each layer gives: as high as its side in pixels, as wide as it has channels.

    `network` takes pictures (1, C, size, size); on the device "meta" nothing is computed.
    """
    colours = {nn.Conv2d: PALETTE[0], nn.MaxPool2d: PALETTE[4], nn.Linear: PALETTE[1]}
    first = next(network.parameters())  # (outputs, channels, height, width)
    nothing = torch.zeros(1, first.shape[1], size, size, device=first.device)
    layers = layer_outputs(network, nothing)
    drawn = [(type(layer), out.shape[1:]) for layer, out in layers if type(layer) in colours]
    _, axis = plt.subplots(figsize=(12, 3.8), layout="constrained")
    left, before = 0.0, None
    for kind, shape in drawn:
        width, height = shape[0] / 12, shape[-1] if len(shape) > 1 else 4
        axis.bar(left, height, width, align="edge", color=colours[kind], edgecolor="white")
        pooled = kind is nn.MaxPool2d and len(drawn) > 10  # there is no room for all
        if shape != before and not pooled:
            name = f"{shape[0]:,}" if len(shape) == 1 else f"{shape[0]} × {height} × {height}"
            axis.text(left, height + 4, name, fontsize=12, rotation=20)
            before = shape
        left += width + 8
    axis.set(title=title, ylabel="side in pixels", xlabel="channels, or outputs", xticks=[])
    axis.margins(y=0.3)
    _show()


def show_bars(values: Mapping[str, float], title: str, xlabel: str) -> None:
    """Show one horizontal bar a name, with its value behind it; `xlabel` has the unit."""
    _, axis = plt.subplots(figsize=(8, 0.5 * len(values) + 1.2), layout="constrained")
    bars = axis.barh(list(values), list(values.values()))
    axis.bar_label(bars, fmt="{:,.0f}", padding=4)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.set(title=title, xlabel=xlabel)
    _show()


def show_points(values: Mapping[str, Sequence[float]], title: str, xlabel: str) -> None:
    """Show every single value as a point, a row for each name, with their mean as a line."""
    _, axis = plt.subplots(figsize=(8, 0.5 * len(values) + 1.4), layout="constrained")
    for row, points in enumerate(values.values()):
        axis.plot(np.mean(points), row, "|", color="black", markersize=22, markeredgewidth=2.5)
        axis.plot(points, [row] * len(points), "o", color=PALETTE[0], markersize=9, alpha=0.5)
    if min(map(min, values.values())) < 0:
        axis.axvline(0, color="0.6", linewidth=1.5, zorder=0)
    axis.set_yticks(range(len(values)), list(values))
    axis.set_ylim(len(values) - 0.4, -0.6)
    axis.grid(axis="x", alpha=0.3)
    axis.set(title=title, xlabel=xlabel)
    _show()


def show_lines(
    lines: Mapping[str, tuple], title: str, xlabel: str, ylabel: str, top: float | None = None
) -> None:
    """Show curves (x, y), told apart by dashes too; one may leave the picture at `top`."""
    _, axis = plt.subplots(figsize=(8, 3.8), layout="constrained")
    for (name, (x, y)), dashes in zip(lines.items(), cycle(DASHES), strict=False):
        axis.plot(x, y, linestyle=dashes, label=name)
    axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
    axis.set_ylim(bottom=0, top=top)
    if xlabel == "epoch":
        axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)
    if any(lines):
        axis.legend()
    _show()


def show_curves(histories: Mapping[str, pd.DataFrame], title: str = "") -> None:
    """Show what `fit` returned for each run: training dashed, validation solid, a colour a run."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
    parts = (("train", "training", "--", 1.8), ("valid", "validation", "-", 2.8))
    for axis, quantity, unit in zip(axes, ("loss", "accuracy"), ("", " in %"), strict=True):
        for colour, (name, history) in zip(cycle(PALETTE), histories.items(), strict=False):
            for part, words, line, width in parts:
                epochs, values = history["epoch"], history[f"{part}_{quantity}"]
                style = {"color": colour, "linewidth": width}
                style["label"] = f"{name}, {words}" if name else words
                axis.plot(epochs, 100 * values if unit else values, line, **style)
        axis.set(xlabel="epoch", ylabel=quantity + unit)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    axes[0].set_ylim(bottom=0)
    axes[1].legend(loc="lower right", fontsize=12)
    figure.suptitle(title, x=0.01, ha="left", fontsize=15)
    _show()


def show_confusion(confusion: pd.DataFrame, title: str) -> None:
    """Show a confusion matrix; the shade is the share of the true class."""
    counts = confusion.to_numpy()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 0.75 * len(counts) + 2
    _, axis = plt.subplots(figsize=(side + 1, side - 0.5), layout="constrained")
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    _write(axis, np.where(counts, counts, "·"), white=shares > 0.5)
    axis.set_xticks(range(len(counts)), confusion.columns, rotation=35, ha="right")
    axis.set_yticks(range(len(counts)), confusion.index)
    axis.spines[:].set_visible(False)
    axis.set(title=title, xlabel="predicted", ylabel="true")
    _show()
