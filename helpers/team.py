"""The processes that train together: here just this one, in `helpers.parallel` several."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scores:
    """Averages over pictures: the loss, and the accuracy in 0..1."""

    loss: float
    accuracy: float


class Team:
    """One process that does everything itself."""

    leads = True  # this process reads and writes the run folder
    hides_bar = False

    def shared(self, content: bytes | None) -> bytes | None:
        """Return in all processes what the one that leads has read."""
        return content

    def whole(self, scores: Scores, loader: Iterable) -> Scores:
        """Return the averages over what all processes saw, from what this one saw of `loader`."""
        return scores


ALONE = Team()
