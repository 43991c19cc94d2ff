import pytest
import torch
from torch import nn

from helpers.checkpoints import load_model, save_model
from helpers.models import (
    CompactVGG,
    LeNet,
    Shortcut,
    conv_output_size,
    memory_estimate,
    saved_bytes,
)


@pytest.mark.parametrize("size", [28, 64, 129])
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), [(5, 1, 0, 1), (3, 2, 1, 2)])
def test_the_formula_agrees_with_pytorch(size, kernel, stride, padding, dilation):
    layer = nn.Conv2d(1, 1, kernel, stride, padding, dilation)
    found = layer(torch.zeros(1, 1, size, size)).shape[-1]
    assert conv_output_size(size, kernel, stride, padding, dilation) == found


def test_a_kernel_that_does_not_fit_is_explained():
    with pytest.raises(ValueError, match="reaches over 5 pixels does not fit into an input of 3"):
        conv_output_size(3, kernel=5)


@pytest.mark.parametrize(("channels", "size"), [(1, 32), (3, 100)])
def test_lenet_fits_any_picture(channels, size):
    model = LeNet(classes=4, channels=channels, size=size)
    assert model(torch.zeros(2, channels, size, size)).shape == (2, 4)


def test_a_picture_too_small_for_lenet_is_explained():
    with pytest.raises(ValueError, match="Use larger pictures"):
        LeNet(classes=4, size=12)


def test_the_estimate_counts_what_can_be_counted_by_hand():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8, 5))
    estimate = memory_estimate(model, (1, 4, 4), batch_size=10, moments=1)
    weights = 4 * (2 * 9 + 2 + 8 * 5 + 5)
    activations = 10 * 4 * (16 + 8 + 5)  # input, convolution, linear; the others make no new tensor
    assert estimate == {
        "weights": weights,
        "gradients": weights,
        "optimiser": weights,
        "activations": activations,
        "total": 3 * weights + activations,
    }


def test_frozen_weights_need_no_gradient():
    model = LeNet(2)
    model.conv1.requires_grad_(False)
    estimate = memory_estimate(model, (1, 128, 128), batch_size=1)
    assert estimate["weights"] - estimate["gradients"] == 4 * (6 * 25 + 6)
    assert model.training  # left as it was


def test_what_is_saved_is_measured():
    model = nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3))
    batch = torch.zeros(10, 8)
    assert saved_bytes(model, batch) == 4 * 10 * (8 + 5)  # input and ReLU; the weights do not count


@pytest.mark.parametrize("shortcuts", [False, True])
@pytest.mark.parametrize("size", [32, 47, 64])
def test_the_compact_network_takes_any_size_and_comes_back(size, shortcuts, tmp_path):
    network = CompactVGG(classes=3, widths=(4, 8, 8), shortcuts=shortcuts).eval()
    pictures = torch.rand(2, 3, size, size)
    assert network(pictures).shape == (2, 3)
    assert network.features(pictures).shape == (2, 8, size // 4, size // 4)
    save_model(network.half(), tmp_path / "model.safetensors")
    patched = CompactVGG(classes=3, widths=(4, 8, 8), patch=2, shortcuts=shortcuts).eval()
    assert patched.features(pictures[:, :, :32, :32]).shape == (2, 8, 4, 4)
    again = load_model(tmp_path / "model.safetensors")
    assert next(again.parameters()).dtype == torch.float32
    assert torch.allclose(again(pictures), network.float()(pictures), atol=1e-5)


def test_a_shortcut_adds_to_what_it_is_given():
    block, maps = Shortcut(4).eval(), torch.randn(2, 4, 5, 5)
    change = block.second(block.first(maps))
    assert change.shape == maps.shape and change.abs().max() > 0
    assert torch.equal(block(maps), (maps + change).relu())
    nn.init.zeros_(block.second[-1].weight)
    assert torch.equal(block(maps), maps.relu())  # with nothing to add
