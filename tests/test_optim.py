import copy

import pytest
import torch
from torch import nn

from helpers import pretrain
from helpers.models import CompactVGG
from helpers.optim import Muon, orthogonal


def test_the_singular_values_become_about_one_and_the_directions_stay():
    torch.manual_seed(0)
    for shape in ((16, 40), (40, 16), (24, 24)):
        matrix = torch.randn(shape) * torch.logspace(0, 1, shape[1])
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
        assert values.max() / values.min() > 5
        found = (
            left.T @ orthogonal(matrix, steps=5) @ right.T
        )  # its values, if it has the same axes
        assert (found.diag() > 0.5).all() and (found.diag() < 1.5).all()
        assert (found - found.diag().diag()).abs().max() < 0.05  # bfloat16


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))


def steps(model, optimizer, count, first=0):
    pictures = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(20) % 3
    for number in range(first, first + count):
        loss = nn.functional.cross_entropy(model(pictures[number : number + 9]), labels[:9])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_what_is_no_convolution_is_updated_as_sgd_does():
    options = {"lr": 0.05, "momentum": 0.85, "weight_decay": 0.01}
    ours, theirs = network(), network()
    for model in (ours, theirs):
        model[0].weight.requires_grad_(False)  # and what is not trained stays
    steps(ours, Muon([{"params": list(ours.parameters()), **options}]), 4)
    steps(theirs, torch.optim.SGD(theirs.parameters(), nesterov=True, **options), 4)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_filters_keep_their_length_and_turn_by_the_rate():
    model = network()
    with torch.no_grad():
        model[0].weight.mul_(7)
    steps(model, Muon([{"params": [model[0].weight], "lr": 0.0}]), 1)
    before = model[0].weight.detach().clone()
    assert torch.isclose(before.norm(), torch.tensor(2.0))  # the root of four filters
    steps(model, Muon([{"params": [model[0].weight], "lr": 0.1}]), 1)
    sizes = torch.linalg.svdvals((model[0].weight - before).flatten(1).detach())
    assert (sizes > 0.02).all() and (sizes < 0.16).all()


def test_it_goes_on_from_its_state():
    def parts():
        model = network()
        return model, Muon([{"params": list(model.parameters()), "lr": 0.1}])

    whole, cut, resumed = parts(), parts(), parts()
    steps(*whole, 5)
    steps(*cut, 3)
    resumed[0].load_state_dict(cut[0].state_dict())
    resumed[1].load_state_dict(copy.deepcopy(cut[1].state_dict()))
    steps(*resumed, 2, first=3)
    for a, b in zip(whole[0].parameters(), resumed[0].parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("shortcuts", [False, True])
def test_the_pretraining_begins_with_what_differs_most_and_hands_it_on(shortcuts):
    torch.manual_seed(0)
    pictures = torch.rand(6, 3, 8, 8).repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    model = CompactVGG(10, widths=(8, 8, 12), shortcuts=shortcuts)
    pretrain.initialise(model, pictures - 0.5)
    first, second = model.features[0].weight, model.features[3].weight
    assert torch.equal(first[:4], -first[4:]) and not first.requires_grad
    answers = nn.functional.conv2d(pictures - 0.5, first[:4])
    assert torch.allclose(answers.square().mean(dim=(0, 2, 3)), torch.ones(4), atol=0.05)
    maps = torch.rand(1, 8, 5, 5)
    assert torch.allclose(nn.functional.conv2d(maps, second, padding=1), maps, atol=1e-6)
    later = [one for one in model.features.modules() if isinstance(one, nn.Conv2d)][2:]
    for layer in later:
        maps = torch.rand(1, layer.in_channels, 5, 5)
        assert torch.allclose(layer(maps)[:, : layer.in_channels], maps, atol=1e-6)
    norms = [one for one in model.features.modules() if isinstance(one, nn.BatchNorm2d)]
    assert not any(layer.weight.requires_grad for layer in norms)


@pytest.mark.parametrize("shortcuts", [False, True])
def test_whatever_is_trained_in_the_pretraining_has_one_rate(shortcuts):
    model = CompactVGG(10, widths=(8, 8, 12), shortcuts=shortcuts)
    pretrain.initialise(model, torch.rand(3, 3, 32, 32))
    grouped = [weight for group in pretrain.groups(model) for weight in group["params"]]
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert {*map(id, grouped)} == {*map(id, trained)} and len(grouped) == len(trained)
    filters = 6 if shortcuts else 4  # without the first ones
    assert len(trained) == filters + (1 + filters) + 2  # and the biases, and the head
