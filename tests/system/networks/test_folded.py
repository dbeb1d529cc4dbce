"""A network for looking only: the same numbers without a layer of normalization."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from twodasl.networks import REGRESSORS, build_regressor
from twodasl.networks.folded import folded


def lively(name, points):
    """A network whose normalizations have means, variances, weights and biases of their own."""
    torch.manual_seed(0)
    network = build_regressor(name, 20, points).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
    nn.init.normal_(getattr(network, network.LAST).weight, std=0.1)
    return network


@pytest.mark.parametrize("name", sorted(REGRESSORS))
@torch.inference_mode()
def test_it_says_the_same(name):
    network = lively(name, 68)
    before = deepcopy(network.state_dict())
    found = folded(network.train())
    network.eval()
    inputs = torch.randn(3, 4, 120, 120, generator=torch.Generator().manual_seed(1))
    expected = network.double()(inputs.double())
    assert expected.std() > 0.01
    torch.testing.assert_close(found(inputs).double(), expected, rtol=1e-4, atol=1e-4 * float(expected.std()))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in found.modules())
    # The network itself is as it was.
    network.float()
    assert all(torch.equal(values, before[key]) for key, values in network.state_dict().items())


def test_a_network_without_normalization_is_copied():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).train()
    found = folded(network)
    assert not found.training
    assert network.training
    assert found[0].weight is not network[0].weight
    inputs = torch.randn(1, 3, 9, 9)
    torch.testing.assert_close(found(inputs), network(inputs))
