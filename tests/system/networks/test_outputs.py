"""What a regressor says, taken apart; and a last layer with more outputs than the weights it starts from."""

import pytest
import torch
from twodasl.networks import build_regressor, load_weights, split_output

LAST = {"small": "output", "resnet50": "fc"}


def test_an_output_is_taken_apart_as_it_is_described():
    """`[whitened | 2 P places | P exponents]`, by hand in float64."""
    output = torch.randn(3, 17 + 3 * 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    said = split_output(output, 17)
    assert torch.equal(said.whitened, output[:, :17])
    for point in range(4):
        for axis in range(2):
            wanted = 59.5 + 30 * output[:, 17 + 2 * point + axis]
            torch.testing.assert_close(said.points[:, point, axis], wanted, rtol=1e-14, atol=0)
        wanted = 4 * output[:, 17 + 8 + point].exp()
        torch.testing.assert_close(said.sigma[:, point], wanted, rtol=1e-14, atol=0)


def test_a_fresh_network_puts_its_points_into_the_middle_and_is_unsure():
    said = split_output(torch.zeros(2, 15 + 3 * 68), 15)
    assert (said.points == 59.5).all()
    assert (said.sigma == 4).all()


def test_sigma_is_neither_zero_nor_infinite():
    output = torch.tensor([[0.0] * 12 + [0.0, 0.0, -1e4], [0.0] * 12 + [0.0, 0.0, 1e4]])
    sigma = split_output(output, 12).sigma
    torch.testing.assert_close(
        sigma.log(), torch.tensor([[4.0], [4.0]]).log() + torch.tensor([[-4.0], [3.0]])
    )


def test_gradients_reach_every_number():
    output = torch.randn(2, 13 + 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: tuple(split_output(x, 13)), output)


@pytest.mark.parametrize("width", [11, 13, 14, 0])
def test_numbers_that_are_no_whole_points_are_refused(width):
    with pytest.raises(ValueError, match=rf"^output: expected 12 \+ 3 P numbers, got {width}$"):
        split_output(torch.zeros(1, width), 12)


def test_no_points_are_none():
    said = split_output(torch.zeros(2, 15), 15)
    assert (said.points.shape, said.sigma.shape) == ((2, 0, 2), (2, 0))


@pytest.mark.parametrize("name", ["small", "resnet50"])
def test_points_are_outputs_after_the_parameters(name):
    network = build_regressor(name, 15, 68)
    assert network.state_dict()[f"{LAST[name]}.weight"].shape[0] == 15 + 3 * 68
    with pytest.raises(ValueError, match=r"^points: expected a number from 0, got -1$"):
        build_regressor(name, 15, -1)


@pytest.mark.parametrize("name", ["small", "resnet50"])
@pytest.mark.parametrize(("mine", "theirs"), [(68, 0), (0, 68), (68, 68)])
def test_weights_start_a_network_with_other_points(name, mine, theirs):
    torch.manual_seed(0)
    other, network = build_regressor(name, 15, theirs).eval(), build_regressor(name, 15, mine).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    given = {key: value.clone() for key, value in other.state_dict().items()}
    load_weights(network, given)
    image = torch.randn(2, 4, 120, 120)
    with torch.no_grad():
        torch.testing.assert_close(network(image)[:, :15], other(image)[:, :15], rtol=1e-5, atol=1e-6)
    last = f"{LAST[name]}.weight"
    common = 15 + 3 * min(mine, theirs)
    assert torch.equal(network.state_dict()[last][common:], before[last][common:])
    # What was given is as it was.
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in given.items())


def test_weights_of_another_network_are_refused():
    network = build_regressor("small", 15)
    state = network.state_dict()
    for change in (
        {"output.weight": torch.zeros(15, 3)},
        {"stem.weight": torch.zeros(1)},
        {"more": torch.zeros(1)},
    ):
        with pytest.raises(RuntimeError):
            load_weights(network, {**state, **change})
    with pytest.raises(RuntimeError, match=r"output\.bias"):
        load_weights(network, {key: value for key, value in state.items() if key != "output.bias"})


@pytest.mark.parametrize("name", ["small", "resnet50"])
def test_the_output_layer_is_float32_within_autocast(name):
    """In bfloat16 a place near the border would be off by a quarter of a pixel.

    The rounding error of a sum of n products is about sqrt(n) unit roundoffs of their absolute sum, in any
    order (Higham and Mary, SIAM J. Sci. Comput. 41, 2019); eps is two of float32's.
    """
    torch.manual_seed(1)
    network = build_regressor(name, 15, 68).eval()
    layer = getattr(network, LAST[name])
    seen = {}
    layer.register_forward_hook(lambda module, given, output: seen.update(given=given[0]))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        output = network(torch.randn(2, 4, 120, 120))
        lower = layer(seen["given"])
    assert (output.dtype, lower.dtype) == (torch.float32, torch.bfloat16)
    given, weight, bias = (each.detach().double() for each in (seen["given"], layer.weight, layer.bias))
    exact = given @ weight.T + bias
    size = given.abs() @ weight.abs().T + bias.abs()
    bound = (given.shape[1] + 1) ** 0.5 * torch.finfo(torch.float32).eps * size
    assert ((output - exact).abs() <= bound).all()
    # The bound would see a layer in bfloat16, in every row.
    assert ((lower - exact).abs() > 10 * bound).any(dim=1).all()
