"""A guard for a network: how far a picture is from what it learned from, and what is too far."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from helpers.files import whole_file

NEIGHBOUR, QUANTILE = 5, 0.95
HELD_BACK = 5  # every so-manieth picture


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
    limit : float
        A picture with a larger score is refused.
    rates : dict
        What was measured with it: see `helpers.predictor.Predictor`.
    """

    known: Tensor
    mean: Tensor
    std: Tensor
    limit: float
    rates: dict = field(default_factory=dict)

    @classmethod
    def learn(cls, maps: Iterable[Tensor]) -> "Guard":
        """Learn what is familiar from the maps, (1, channels, h, w), of each training picture.

        The first and every fifth after it are held back; the limit is the 95 % quantile of their
        scores.
        """
        points = torch.cat([_points(one) for one in maps])
        if len(points) < 2 * NEIGHBOUR:
            raise ValueError(
                f"{len(points)} training pictures are too few to tell what is familiar: "
                f"expected at least {2 * NEIGHBOUR}."
            )
        held_back = torch.arange(len(points)) % HELD_BACK == 0
        learned = points[~held_back]
        mean, spread = learned.mean(dim=0), learned.std(dim=0)
        std = spread + 0.1 * spread.mean() + 1e-9  # a filter that hardly ever answers
        known = (learned - mean) / std
        limit = _distances((points[held_back] - mean) / std, known).quantile(QUANTILE).item()
        return cls(known, mean, std, limit)

    def scores(self, maps: Tensor) -> Tensor:
        """Return the score, (B,), of the pictures with these maps, (B, channels, h, w)."""
        return _distances((_points(maps) - self.mean) / self.std, self.known)

    def write(self, file: Path, mark: str) -> None:
        """Keep the guard in a .safetensors file; `mark` says whose it is."""
        told = {"mark": mark, "limit": self.limit, "rates": self.rates}
        tensors = {"known": self.known, "mean": self.mean, "std": self.std}
        with whole_file(file) as partial:
            partial.write_bytes(save(tensors, metadata={"guard": json.dumps(told)}))


def read_guard(file: Path, mark: str) -> Guard | None:
    """Return the guard in a file; None where it is missing, damaged or that of another network."""
    try:
        with safe_open(file, framework="pt") as opened:
            told = json.loads(opened.metadata()["guard"])
            tensors = [opened.get_tensor(name) for name in ("known", "mean", "std")]
    except Exception:  # whatever a damaged file makes of the library: the guard is made again
        return None
    return Guard(*tensors, told["limit"], told["rates"]) if told["mark"] == mark else None


def _points(maps: Tensor) -> Tensor:
    """Return how strongly and how unevenly each filter answers, (B, 2 * channels)."""
    maps = maps.detach().float().cpu()
    both = torch.cat([maps.mean(dim=(2, 3)), maps.std(dim=(2, 3), correction=0)], dim=1)
    return both.clamp(min=0).sqrt()


def _distances(points: Tensor, known: Tensor) -> Tensor:
    return torch.cdist(points, known).kthvalue(NEIGHBOUR, dim=1).values
