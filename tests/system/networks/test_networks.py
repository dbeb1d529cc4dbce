"""The networks: shapes, state-dict names, checkpoint conversion, what the small one keeps of position."""

import pytest
import torch
from twodasl.networks import (
    Critic,
    Encoder,
    ResNet50,
    SmallRegressor,
    authors_state_dict,
    build_regressor,
    imagenet_state_dict,
)


def random_input(batch, seed=0):
    return torch.randn(batch, 4, 120, 120, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["resnet50", "small"])
@pytest.mark.parametrize("outputs", [62, 17])
def test_regressor_shape(name, outputs):
    regressor = build_regressor(name, outputs).eval()
    with torch.no_grad():
        assert regressor(random_input(2)).shape == (2, outputs)


def test_regressor_names_are_checked():
    with pytest.raises(ValueError, match="resnet50, small, got 'resnet18'"):
        build_regressor("resnet18", 62)
    with pytest.raises(ValueError, match="got 12"):
        build_regressor("small", 12)


def test_resnet_keeps_eight_pixels_and_torchvision_names():
    network = ResNet50(62).eval()
    seen = {}
    network.layer4.register_forward_hook(lambda module, args, out: seen.update(layer4=out.shape))
    with torch.no_grad():
        network(random_input(1))
    assert seen["layer4"] == (1, 2048, 8, 8)
    state = network.state_dict()
    # 53 convolutions, 53 batch norms of five entries, one linear layer: torchvision's 320 entries.
    assert len(state) == 53 + 53 * 5 + 2 == 320
    for name, shape in {
        "conv1.weight": (64, 4, 7, 7),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer1.0.downsample.1.running_var": (256,),
        "layer2.0.conv2.weight": (128, 128, 3, 3),
        "layer3.5.bn3.num_batches_tracked": (),
        "layer4.2.conv3.weight": (2048, 512, 1, 1),
        "fc.weight": (62, 2048),
    }.items():
        assert state[name].shape == shape
    # 23.5 million weights of ResNet-50's trunk, 64*7*7 more for the landmark map, and the head.
    assert sum(p.numel() for p in network.parameters()) == 23_508_032 + 64 * 49 + 2048 * 62 + 62


def torchvision_like_state():
    generator = torch.Generator().manual_seed(3)
    state = {k: v.clone() for k, v in ResNet50(1000).state_dict().items()}
    state["conv1.weight"] = torch.randn(64, 3, 7, 7, generator=generator) * 0.1
    state["bn1.running_mean"] = torch.randn(64, generator=generator)
    state["bn1.running_var"] = torch.rand(64, generator=generator) + 0.5
    return state


def test_imagenet_weights_answer_as_they_did():
    state = torchvision_like_state()
    network = ResNet50(62).eval()
    missing, unexpected = network.load_state_dict(imagenet_state_dict(state), strict=False)
    assert (sorted(missing), unexpected) == (["fc.bias", "fc.weight"], [])

    bgr = torch.randint(0, 256, (2, 3, 40, 40), generator=torch.Generator().manual_seed(1)).double()
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.double).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.double).view(1, 3, 1, 1)
    original = torch.nn.functional.conv2d(
        (bgr.flip(1) / 255 - mean) / std, state["conv1.weight"].double(), stride=2
    )
    original = original - state["bn1.running_mean"].double().view(1, -1, 1, 1)

    landmark_map = torch.full((2, 1, 40, 40), -1.0, dtype=torch.double)
    ours = torch.cat([(bgr - 127.5) / 128, landmark_map], dim=1)
    answer = torch.nn.functional.conv2d(ours, network.conv1.weight.double(), stride=2)
    answer = answer - network.bn1.running_mean.double().view(1, -1, 1, 1)
    # The converted filters are float32, with values of order one summed over 147 weights.
    torch.testing.assert_close(answer, original, atol=1e-4, rtol=1e-5)


def test_imagenet_conversion_refuses_another_network():
    with pytest.raises(ValueError, match=r"conv1\.weight"):
        imagenet_state_dict({"features.0.weight": torch.zeros(1)})
    state = torchvision_like_state() | {"conv1.weight": torch.zeros(64, 4, 7, 7)}
    with pytest.raises(ValueError, match=r"got \(64, 4, 7, 7\)"):
        imagenet_state_dict(state)


def test_authors_checkpoint_is_renamed():
    source = ResNet50(62)
    state = {
        f"module.{name}": value
        for name, value in source.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    network = ResNet50(62)
    network.load_state_dict(authors_state_dict({"epoch": 3, "res_state_dict": state}))
    for name, value in source.state_dict().items():
        assert torch.equal(network.state_dict()[name], value)
    with pytest.raises(ValueError, match="res_state_dict"):
        authors_state_dict({"state_dict": state})


def test_small_regressor_starts_at_the_mean_parameters():
    torch.manual_seed(0)
    answer = SmallRegressor(62)(random_input(8))
    assert answer.abs().max() < 0.5


def test_small_regressor_spreads_points():
    network = SmallRegressor(62, spread=1.0)
    blank = torch.full((1, 1, 120, 120), -1.0)
    assert torch.equal(network.spread_points(blank), torch.zeros_like(blank))
    blank[0, 0, 50, 0] = 1.0
    spread = network.spread_points(blank)[0, 0]
    assert spread[50, 0] == 1.0
    expected = torch.exp(torch.tensor(-0.5 * (1**2 + 2**2)))
    torch.testing.assert_close(spread[51, 2], expected)
    torch.testing.assert_close(spread[48, 1], expected)
    assert spread[50, 4:].abs().max() == 0


def test_small_regressor_tells_positions_apart():
    """Moving one landmark by one pixel inside a 4x4 patch must change the answer."""
    torch.manual_seed(0)
    network = SmallRegressor(62).eval()
    x = torch.zeros(2, 4, 120, 120)
    x[:, 3] = -1
    x[0, 3, 41, 41] = 1
    x[1, 3, 41, 42] = 1
    with torch.no_grad():
        a, b = network(x)
    assert (a - b).abs().max() > 1e-5


def test_encoder_has_six_convolutions_and_ignores_the_landmark_map():
    encoder = Encoder()
    assert sum(isinstance(m, torch.nn.Conv2d) for m in encoder.modules()) == 6
    x = random_input(2)
    z = encoder(x)
    assert z.shape == (2, encoder.latent)
    x[:, 3] = 7
    assert torch.equal(encoder(x), z)
    assert not torch.equal(Encoder(channels=4)(x), z)
    with pytest.raises(ValueError, match="expected 6"):
        Encoder((1, 2, 3))


def test_critic_layers():
    critic = Critic(latent=10, coefficients=62)
    widths = [m.out_features for m in critic.modules() if isinstance(m, torch.nn.Linear)]
    assert widths == [512, 1024, 1024, 1]
    z, coefficients = torch.randn(5, 10), torch.randn(5, 62)
    logits = critic(z, coefficients)
    assert logits.shape == (5,)
    assert logits.std() > 0
