"""A guard for a network: how far a picture is from what it learned from, and what is too far."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from helpers.files import whole_file

NEIGHBOUR, QUANTILE = 5, 0.95
HELD_BACK = 5  # one picture in five


@dataclass(frozen=True)
class Guard:
    """Tells the strange from the familiar by the maps of the last convolutions.

    Each filter gives the mean and the standard deviation of its map; their square roots, brought to
    the same scale, are a point for each picture; its score is the distance to the fifth-nearest
    training picture. Source: Sun et al., Out-of-distribution detection with deep nearest
    neighbors, 2022 (without their normalisation to length 1).

    Attributes
    ----------
    known : Tensor
        (N, 2 * channels), the points of training pictures.
    mean, std : Tensor
        (2 * channels,), what brings the points to the same scale.
    familiar : Tensor
        (M,), the scores of training pictures that are not in `known`: they set the limit.
    own : Tensor
        (K,), the scores of test pictures: they measure it.
    """

    known: Tensor
    mean: Tensor
    std: Tensor
    familiar: Tensor
    own: Tensor

    @classmethod
    def learn(cls, train: Iterable[Tensor], test: Iterable[Tensor]) -> "Guard":
        """Learn what is familiar from the maps, (B, channels, h, w), of training pictures.

        The first and every fifth after it are held back, to set the limit.
        """
        points = torch.cat([_points(maps) for maps in train])
        if len(points) < 2 * NEIGHBOUR:
            raise ValueError(
                f"{len(points)} training pictures are too few to tell what is familiar: "
                f"expected at least {2 * NEIGHBOUR}."
            )
        held_back = torch.arange(len(points)) % HELD_BACK == 0
        learned = points[~held_back]
        mean, spread = learned.mean(dim=0), learned.std(dim=0)
        std = spread + 0.1 * spread.mean() + 1e-9  # a filter that hardly ever answers
        guard = cls((learned - mean) / std, mean, std, torch.empty(0), torch.empty(0))
        own = torch.cat([torch.empty(0), *map(guard.scores, test)])
        return replace(guard, familiar=guard._distances(points[held_back]), own=own)

    @property
    def limit(self) -> float:
        """A picture with a larger score is refused, as is one in twenty of `familiar`."""
        return self.familiar.quantile(QUANTILE).item()

    def scores(self, maps: Tensor) -> Tensor:
        """Return the score, (B,), of the pictures with these maps, (B, channels, h, w)."""
        return self._distances(_points(maps))

    def _distances(self, points: Tensor) -> Tensor:
        return torch.cdist((points - self.mean) / self.std, self.known).kthvalue(NEIGHBOUR).values

    def __str__(self) -> str:
        if not len(self.own):
            return (
                "How many good pictures it refuses is unknown: the test pictures are not all here."
            )
        alarms = (~(self.own <= self.limit)).float().mean()
        return f"It refuses {alarms:.0%} of {len(self.own)} test pictures of its own kind."

    def write(self, file: Path, mark: str) -> None:
        """Keep the guard in a .safetensors file; `mark` says whose it is."""
        with whole_file(file) as partial:
            partial.write_bytes(save(vars(self), metadata={"mark": mark}))


def read_guard(file: Path, mark: str) -> Guard | None:
    """Return the guard in a file; None where it is missing, damaged or that of another network."""
    with suppress(Exception), safe_open(file, framework="pt") as opened:  # damaged: anything
        if opened.metadata()["mark"] == mark:
            return Guard(**{name: opened.get_tensor(name) for name in opened.keys()})  # noqa: SIM118
    return None


def _points(maps: Tensor) -> Tensor:
    """Return how strongly and how unevenly each filter answers, (B, 2 * channels)."""
    maps = maps.detach().float().cpu()
    both = torch.cat([maps.mean(dim=(2, 3)), maps.std(dim=(2, 3), correction=0)], dim=1)
    return both.clamp(min=0).sqrt()
