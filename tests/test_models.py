"""The size formula against PyTorch, networks of any size, memory against a count by hand."""

import pytest
import torch
from torch import nn

from helpers.models import CompactVGG, LeNet, conv_output_size, memory_estimate, saved_bytes


def test_the_formula_agrees_with_pytorch():
    layer = nn.Conv2d(1, 1, kernel_size=3, stride=2, padding=1)
    assert conv_output_size(65, 3, 2, 1) == layer(torch.zeros(1, 1, 65, 65)).shape[-1]


@pytest.mark.parametrize(("channels", "size"), [(1, 16), (3, 32), (3, 100), (1, 129)])
def test_the_networks_take_pictures_of_any_size(channels, size):
    assert LeNet(4, channels, size)(torch.zeros(2, channels, size, size)).shape == (2, 4)
    pictures = torch.rand(2, 3, size, size + 6)
    compact = CompactVGG(classes=3, widths=(4, 8, 8)).eval()
    assert compact(pictures).shape == (2, 3)
    assert compact.features(pictures).shape == (2, 8, size // 4, (size + 6) // 4)
    patched = CompactVGG(classes=3, widths=(4, 8, 8), patch=2).eval()
    assert patched.features(torch.rand(2, 3, 32, 32)).shape == (2, 8, 4, 4)


def test_the_estimate_counts_what_can_be_counted_by_hand():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8, 5))
    model[0].requires_grad_(False)
    estimate = memory_estimate(model, (1, 4, 4), batch_size=10)
    frozen, trained = 4 * (2 * 9 + 2), 4 * (8 * 5 + 5)
    activations = 10 * 4 * (16 + 8 + 5)  # input, convolution, linear; the others make no new tensor
    parts = {"weights": frozen + trained, "gradients": trained, "optimiser": 2 * trained}
    total = frozen + 4 * trained + activations
    assert estimate == parts | {"activations": activations, "total": total}
    assert model.training  # left as it was


@pytest.mark.parametrize("last", [nn.MultiheadAttention(4, 1), nn.Threshold(0, 0)])
def test_the_estimate_counts_tensors_and_no_view_twice(last):
    class Cut(nn.Module):  # what it gives is a part of what it got, and lies there
        def forward(self, x):
            return x[:, :2]

    class Asks(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.cut, self.last = nn.Linear(4, 4, bias=False), Cut(), last

        def forward(self, x):
            x = self.first(x)
            self.last(*[x] * (3 if isinstance(self.last, nn.MultiheadAttention) else 1))
            return self.cut(x)

    extra = 0 if isinstance(last, nn.MultiheadAttention) else 4 * 4
    assert memory_estimate(Asks(), (4,), batch_size=1)["activations"] == 4 * (4 + 4) + extra


def test_what_is_saved_is_measured():
    model = nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3))
    batch = torch.zeros(10, 8)
    assert saved_bytes(model, batch) == 4 * 10 * (8 + 5)  # input and ReLU; the weights do not count
    saved_bytes(model.to("meta"), batch)  # where pictures of the CPU are refused, as on a GPU
