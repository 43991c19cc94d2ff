"""A guard for a network: how far a picture is from what it learned from, and what is too far."""

from dataclasses import dataclass

import torch
from torch import Tensor

NEIGHBOUR, QUANTILE = 5, 0.95
HELD_BACK = 5  # one picture in five
FEWEST = 2 * NEIGHBOUR  # training pictures


def point(maps: Tensor) -> Tensor:
    """Return how strongly and how unevenly each filter answers, (2 * channels,).

    These are the square roots of the mean and the standard deviation of each map.
    """
    maps = maps.detach().float().cpu().flatten(1)  # (channels, height * width)
    both = torch.cat([maps.mean(dim=1), maps.std(dim=1, correction=0)])
    return both.clamp(min=0).sqrt()


@dataclass(frozen=True)
class Guard:
    """Tells strange pictures from familiar ones by their points, see `point`.

    The score of a picture is the distance to the fifth-nearest training picture. Source: Sun et
    al., Out-of-distribution detection with deep nearest neighbors, 2022 (without their
    normalisation to length 1).
    """

    known: Tensor  # (N, 2 * channels), the points of training pictures, in units of `scale`
    scale: Tensor  # (2 * channels,)
    familiar: Tensor  # (M,), the scores of other training pictures: they set the limit
    own: Tensor  # (K,), the scores of test pictures: they measure it

    @classmethod
    def learn(cls, train: Tensor, test: Tensor) -> "Guard":
        """Learn what is familiar from the points of training pictures; one in five is held back."""
        if len(train) < FEWEST:
            raise ValueError(
                f"{len(train)} training pictures are too few to tell what is strange: expected at "
                f"least {FEWEST}."
            )
        is_held_back = torch.arange(len(train)) % HELD_BACK == 0
        spread = train[~is_held_back].std(dim=0)
        scale = spread + 0.1 * spread.mean() + 1e-9  # a filter that hardly ever answers
        known = train[~is_held_back] / scale
        own = _distances(test / scale, known)
        return cls(known, scale, _distances(train[is_held_back] / scale, known), own)

    @property
    def limit(self) -> float:
        """A picture with a larger score is refused, as is one in twenty of `familiar`."""
        return self.familiar.quantile(QUANTILE).item()

    def score(self, point: Tensor) -> float:
        """Return the score of the picture with this point."""
        return _distances(point[None] / self.scale, self.known).item()

    def __str__(self) -> str:
        if not len(self.own):
            return "How many good pictures it refuses is unknown: there are no test pictures."
        alarms = (~(self.own <= self.limit)).float().mean()  # a score may be no number
        return f"It refuses {alarms:.0%} of {len(self.own)} test pictures of its own kind."


def _distances(points: Tensor, known: Tensor) -> Tensor:
    # the other mode is quicker, and loses digits
    distances = torch.cdist(points, known, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.kthvalue(NEIGHBOUR).values
