"""An optimiser that teaches convolutions in few epochs."""

import torch
from torch import Tensor
from torch.optim.optimizer import required


class Muon(torch.optim.Optimizer):
    """SGD with Nesterov's momentum, whose updates of convolutions are made orthogonal.

    What a layer's filters are to be changed by is a matrix, one row a filter. Few directions
    dominate it. Brought to the same size they all are learned at once. The filters themselves are
    kept at one length, so that the rate says by how much they turn. `torch.optim.Muon` does this
    for matrices; here convolutions, (out, in, height, width), are taken as such. All else is
    updated as `torch.optim.SGD` does.

    Source: Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024.

    Parameters
    ----------
    groups : list of dict
        Each with "params" and "lr"; "momentum" and "weight_decay" if need be.
    """

    def __init__(self, groups: list[dict]) -> None:
        super().__init__(groups, {"lr": required, "momentum": 0.85, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self) -> None:
        """Change the parameters once, by their gradients."""
        for group in self.param_groups:
            momentum = group["momentum"]
            for weight in (one for one in group["params"] if one.grad is not None):
                change = weight.grad.add(weight, alpha=group["weight_decay"])
                if "momentum" not in self.state[weight]:
                    self.state[weight]["momentum"] = torch.zeros_like(weight)
                moving = self.state[weight]["momentum"].mul_(momentum).add_(change)
                change = change.add(moving, alpha=momentum)
                if weight.ndim == 4:
                    weight.mul_(len(weight) ** 0.5 / (weight.norm() + 1e-7))
                    change = orthogonal(change.flatten(1)).view_as(weight)
                weight.sub_(change, alpha=group["lr"])


def orthogonal(matrix: Tensor, steps: int = 3) -> Tensor:
    """Return roughly the nearest matrix whose singular values are all equal, and about 1.

    Source: Newton-Schulz iteration with the coefficients of Jordan et al.

    Parameters
    ----------
    matrix : Tensor
        (rows, columns).
    steps : int
        With three, the large singular values come out between about 0.5 and 1.5.

    Returns
    -------
    Tensor
        (rows, columns), computed in bfloat16.
    """
    is_tall = len(matrix) > matrix.shape[1]
    x = (matrix.T if is_tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = 3.4445 * x + (2.0315 * square @ square - 4.7750 * square) @ x
    return (x.T if is_tall else x).to(matrix.dtype)
