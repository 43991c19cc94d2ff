import pytest
import torch
from torch import nn

from helpers.models import CompactVGG
from helpers.precision import fastest_precision, forward, quickest
from helpers.training import mixed_precision

needs_bfloat16 = pytest.mark.skipif(
    mixed_precision(torch.device("cpu"), on_cpu=True) is None, reason="this CPU has no bfloat16"
)


def is_close(features, truth):
    return bool((features - truth).norm() <= 0.02 * truth.norm())


def test_fast_arithmetic_is_used_only_where_it_agrees():
    torch.manual_seed(0)
    pictures = torch.rand(8, 3, 32, 32)
    native = bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    wanted = torch.bfloat16 if native else torch.float32
    assert fastest_precision(CompactVGG(10).eval(), pictures) == wanted

    class Fragile(nn.Module):  # the difference of two large, nearly equal numbers
        def forward(self, pictures):
            flat = pictures.flatten(1)
            return flat @ torch.ones(3072, 1) - (flat + 1e-3) @ torch.ones(3072, 1)

    assert fastest_precision(Fragile(), pictures) == torch.float32


def told_of(layer, *others):
    """A layer that somebody watches."""
    layer.register_forward_hook(lambda layer, inputs, maps: maps + 1)
    return [layer, *others]


def plain_layers(**options):
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 8, 3, **{"padding": 1} | options)
    return [convolution, nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU()]


@needs_bfloat16
@torch.no_grad()
def test_packed_convolutions_make_the_same_maps_and_change_nothing():
    network = nn.Sequential(nn.Sequential(*plain_layers()), nn.AdaptiveAvgPool2d(2)).eval()
    pictures = torch.rand(2 * torch.get_num_threads() + 1, 3, 20, 20)  # does not divide evenly
    before = {name: weight.clone() for name, weight in network.named_parameters()}
    exact = forward(network, pictures, torch.float32)
    quick = quickest(network, torch.device("cpu"), torch.bfloat16)
    maps = forward(quick, pictures, torch.bfloat16)
    assert str(quick) != str(network) and is_close(maps, exact) and not torch.equal(maps, exact)
    assert torch.equal(forward(network, pictures, torch.float32), exact)
    for name, weight in network.named_parameters():
        assert torch.equal(weight, before[name]) and weight.requires_grad


@needs_bfloat16
@pytest.mark.parametrize(
    "layers",
    [
        plain_layers(padding="same"),
        plain_layers(padding_mode="reflect"),
        [*plain_layers(), nn.MaxPool2d(2, stride=1, dilation=2)],
        [*plain_layers(), nn.BatchNorm2d(8)],
        [nn.ReLU()],
        [*plain_layers(dtype=torch.float64)[:3], nn.Conv2d(8, 8, 3, dtype=torch.float64)],
        told_of(*plain_layers()),
        [nn.Sequential(*told_of(*plain_layers()))],
        told_of(nn.Sequential(*plain_layers())),
        [*(shared := plain_layers()), nn.Conv2d(8, 3, 1), *shared],
    ],
)
@torch.no_grad()
def test_layers_that_cannot_be_packed_stay_as_they_are(layers):
    network = nn.Sequential(*layers).eval()
    pictures = torch.rand(3, 3, 20, 20, dtype=next(network.parameters(), torch.ones(1)).dtype)
    quick = quickest(network, torch.device("cpu"), torch.bfloat16)
    assert str(quick) == str(network)
    exact = forward(network, pictures, torch.float32)
    assert is_close(forward(quick, pictures, torch.bfloat16), exact)


@pytest.mark.parametrize(("device", "precision"), [("cpu", "float32"), ("cuda", "bfloat16")])
def test_only_cpus_pack_and_only_in_bfloat16(device, precision):
    network = nn.Sequential(*plain_layers())
    assert quickest(network, torch.device(device), getattr(torch, precision)) is network


def test_nothing_is_packed_where_onednn_is_switched_off():
    network = nn.Sequential(*plain_layers())
    with torch.backends.mkldnn.flags(enabled=False):
        assert quickest(network, torch.device("cpu"), torch.bfloat16) is network
