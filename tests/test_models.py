"""The size formula against PyTorch, networks of any size, memory against a count by hand."""

import pytest
import torch
from torch import nn

from helpers.models import CompactVGG, LeNet, conv_output_size, memory_estimate, saved_bytes


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation"),
    [(28, 5, 1, 0, 1), (64, 3, 2, 1, 2), (129, 2, 2, 0, 1)],
)
def test_the_formula_agrees_with_pytorch(size, kernel, stride, padding, dilation):
    layer = nn.Conv2d(1, 1, kernel, stride, padding, dilation)
    found = layer(torch.zeros(1, 1, size, size)).shape[-1]
    assert conv_output_size(size, kernel, stride, padding, dilation) == found


def test_what_does_not_fit_is_explained():
    with pytest.raises(ValueError, match="A kernel of 5 does not fit into 3 pixels: use larger"):
        conv_output_size(3, kernel=5)
    with pytest.raises(ValueError, match="whole numbers from 1 on"):
        conv_output_size(8, kernel=3, stride=0)
    with pytest.raises(ValueError, match="use larger pictures"):
        LeNet(classes=4, size=12)


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
    estimate = memory_estimate(model, (1, 4, 4), batch_size=10, moments=1)
    weights = 4 * (2 * 9 + 2 + 8 * 5 + 5)
    activations = 10 * 4 * (16 + 8 + 5)  # input, convolution, linear; the others make no new tensor
    parts = {"weights": weights, "gradients": weights, "optimiser": weights}
    assert estimate == parts | {"activations": activations, "total": 3 * weights + activations}


def test_frozen_weights_need_no_gradient():
    model = LeNet(2)
    model.conv1.requires_grad_(False)
    estimate = memory_estimate(model, (1, 128, 128), batch_size=1)
    assert estimate["weights"] - estimate["gradients"] == 4 * (6 * 25 + 6)
    assert estimate["optimiser"] == 2 * estimate["gradients"]
    assert model.training and not model.conv1._forward_hooks  # left as it was


def test_what_is_saved_is_measured():
    model = nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3))
    batch = torch.zeros(10, 8)
    assert saved_bytes(model, batch) == 4 * 10 * (8 + 5)  # input and ReLU; the weights do not count


def test_memory_is_told_of_a_model_on_another_device():
    model = LeNet(2, size=32).to("meta")  # it refuses pictures of the CPU, as a GPU does
    assert memory_estimate(model, (1, 32, 32), batch_size=2)["weights"] > 0
    assert saved_bytes(model, torch.zeros(2, 1, 32, 32)) >= 0
