"""How a frozen network is computed soonest here: its precision, and packed convolutions."""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from helpers.training import mixed_precision

TRIED = 4  # pictures to choose the precision by
CLOSE = 0.03  # features in bfloat16 may differ by this much from float32, relatively


def fastest_precision(network: nn.Module, pictures: Tensor) -> torch.dtype:
    """Return bfloat16 if this device computes with it and the answers stay the same.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    pictures : Tensor
        (B, channels, height, width); the first few are tried.

    Returns
    -------
    torch.dtype
        bfloat16 where what comes out differs by at most 3 % (root mean square) from float32.
    """
    if mixed_precision(pictures.device, on_cpu=True) is None:
        return torch.float32
    some = pictures[:TRIED]
    exact = forward(network, some, torch.float32)
    quick = forward(quickest(network, some.device, torch.bfloat16), some, torch.bfloat16)
    difference = (quick - exact).norm() / exact.norm()
    return torch.bfloat16 if difference <= CLOSE else torch.float32


def forward(network: nn.Module, pictures: Tensor, precision: torch.dtype) -> Tensor:
    """Return what the network makes of the pictures, as float32."""
    is_mixed = precision != torch.float32
    with torch.autocast(pictures.device.type, dtype=torch.bfloat16, enabled=is_mixed):
        return network(pictures).float()


def quickest(network: nn.Module, device: torch.device, precision: torch.dtype) -> nn.Module:
    """Return the network as this device computes it soonest: plain convolutions are packed.

    Those of VGG are, for example: sequences of convolutions, ReLU and max pooling alone.

    Parameters
    ----------
    network : nn.Module
        Its layers are shared, and stay as they are.
    device : torch.device
        Where it is.
    precision : torch.dtype
        What it will compute in.
    """
    has_onednn = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
    if device.type != "cpu" or not has_onednn or precision != torch.bfloat16:
        return network
    if type(network) is not nn.Sequential or _has_hooks(network):
        return network
    is_once = len(set(network)) == len(network)  # functional_call spoils what is there twice
    has_convolutions = any(isinstance(layer, nn.Conv2d) for layer in network)
    if is_once and has_convolutions and all(map(_is_plain, network)):
        return _Packed(network)
    return nn.Sequential(*(quickest(part, device, precision) for part in network))


def _has_hooks(layer: nn.Module) -> bool:
    """Return whether somebody's function, such as pruning, is called with the layer's tensors."""
    return bool(layer._forward_hooks or layer._forward_pre_hooks)


def _is_plain(layer: nn.Module) -> bool:
    """Return whether oneDNN knows such a layer."""
    if _has_hooks(layer):
        return False
    if type(layer) is nn.Conv2d:
        has_known_padding = layer.padding_mode == "zeros" and isinstance(layer.padding, tuple)
        return has_known_padding and layer.weight.dtype == torch.float32
    if type(layer) is nn.MaxPool2d:
        return layer.dilation == 1 and not layer.return_indices
    return type(layer) is nn.ReLU


class _Packed(nn.Module):
    """Convolutions in oneDNN's own order of numbers, in bfloat16.

    A picture for each thread at a time: what passes from layer to layer stays in the caches.
    """

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers
        self.packed = {name: _pack(weight) for name, weight in layers.named_parameters()}

    def forward(self, pictures: Tensor) -> Tensor:
        few = pictures.split(torch.get_num_threads())
        made = (functional_call(self.layers, self.packed, _pack(part)) for part in few)
        return torch.cat([maps.to_dense() for maps in made])


def _pack(numbers: Tensor) -> Tensor:
    return numbers.detach().contiguous().to_mkldnn(torch.bfloat16)
