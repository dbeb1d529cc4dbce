"""Wrong arguments: the right exception and message, and never a crash."""

from __future__ import annotations

import random

import pytest
import torch

import twodasl_ext as te

from .cases import CASES, make


@pytest.fixture
def face():
    """A basis of 50 modes and 203 vertices with a batch of five."""
    inputs = make(CASES[6]).to(torch.float32)
    return inputs.basis(), inputs


def test_the_message_names_argument_expectation_and_what_came(face):
    basis, inputs = face
    with pytest.raises(
        ValueError, match=r"^coefficients: expected \(B, 50\) for a basis of 50 modes, got \(4, 62\)$"
    ):
        te.vertices(basis, torch.zeros(4, 62), inputs.pose)
    with pytest.raises(ValueError, match=r"^pose: expected \(B, 3, 4\), got \(5, 12\)$"):
        te.landmarks(basis, inputs.coefficients, inputs.pose.flatten(1))
    with pytest.raises(
        ValueError, match=r"^pose: expected \(5, 3, 4\) for coefficients of 5 faces, got \(4, 3, 4\)$"
    ):
        te.vertices(basis, inputs.coefficients, inputs.pose[:4])
    with pytest.raises(
        TypeError, match=r"^coefficients: expected torch.float32 like the basis .*, got torch.float64$"
    ):
        te.vertices(basis, inputs.coefficients.double(), inputs.pose)
    with pytest.raises(TypeError, match=r"^pose: expected torch.float32 like the basis .*, got torch.int64$"):
        te.vertices(basis, inputs.coefficients, inputs.pose.long())
    with pytest.raises(TypeError, match=r"^pose: expected a torch.Tensor, got list$"):
        te.vertices(basis, inputs.coefficients, [1.0])
    with pytest.raises(ValueError, match=r"^pose: expected device cpu like the basis, got meta$"):
        te.vertices(basis, inputs.coefficients, inputs.pose.to("meta"))
    with pytest.raises(TypeError, match=r"^coefficients: expected a dense tensor"):
        te.vertices(basis, inputs.coefficients.to_sparse(), inputs.pose)


def test_parameters(face):
    basis, inputs = face
    with pytest.raises(
        ValueError, match=r"^predicted: expected \(B, 62\) for a basis of 50 modes .*got \(5, 50\)$"
    ):
        te.importance_weights(basis, inputs.coefficients, inputs.target)
    with pytest.raises(ValueError, match=r"^target: expected \(5, 62\) like predicted, got \(2, 62\)$"):
        te.vertex_distance_cost(basis, inputs.predicted, inputs.target[:2])
    with pytest.raises(ValueError, match=r"^space: expected '2d' or '3d', got '4d'$"):
        te.importance_weights(basis, inputs.predicted, inputs.target, space="4d")
    with pytest.raises(ValueError, match=r"^normalize: expected 'sum' or 'max', got None$"):
        te.importance_weights(basis, inputs.predicted, inputs.target, normalize=None)


def test_basis():
    mean, modes = torch.zeros(10, 3), torch.zeros(4, 10, 3)
    cases = [
        (ValueError, r"^mean: expected \(N, 3\)", (torch.zeros(3, 10), modes)),
        (
            ValueError,
            r"^mean: expected \(N, 3\) with at least one vertex",
            (torch.zeros(0, 3), torch.zeros(1, 0, 3)),
        ),
        (
            ValueError,
            r"^modes: expected \(K, 10, 3\) for a mean of 10 vertices, got \(4, 30\)",
            (mean, modes.flatten(1)),
        ),
        (ValueError, r"^modes: expected \(K, 10, 3\)", (mean, torch.zeros(4, 11, 3))),
        (TypeError, "^mean: expected a floating-point tensor, got torch.int64", (mean.long(), modes)),
        (
            TypeError,
            "^modes: expected a torch.Tensor, numpy array or list .*, got NoneType",
            (mean, None),
        ),
        (
            ValueError,
            r"^landmarks: expected vertex indices in \[0, 10\), got 10",
            (mean, modes, torch.tensor([1, 10])),
        ),
        (
            ValueError,
            r"^landmarks: expected vertex indices in \[0, 10\), got -1",
            (mean, modes, torch.tensor([-1, 3])),
        ),
        (TypeError, "^landmarks: expected integer vertex indices", (mean, modes, torch.tensor([1.0]))),
        (ValueError, r"^landmarks: expected \(L,\), got \(1, 2\)", (mean, modes, torch.tensor([[1, 2]]))),
    ]
    for error, message, arguments in cases:
        with pytest.raises(error, match=message):
            te.MorphableBasis(*arguments)
    with pytest.raises(TypeError, match=r"^storage: expected one of .*, got torch.int8"):
        te.MorphableBasis(mean, modes, storage=torch.int8)
    with pytest.raises(TypeError, match=r"^storage: expected float32 or float64 for modes that are trained"):
        te.MorphableBasis(mean, modes.requires_grad_(), storage=torch.bfloat16)


def test_landmarks(face):
    basis, inputs = face
    bare = te.MorphableBasis(inputs.mean, inputs.modes)
    with pytest.raises(ValueError, match=r"^basis: has no landmarks"):
        te.landmarks(bare, inputs.coefficients, inputs.pose)
    with pytest.raises(ValueError, match=r"^basis: has no landmarks"):
        te.importance_weights(bare, inputs.predicted, inputs.target)
    with pytest.raises(ValueError, match=r"^indices: expected vertex indices in \[0, 203\), got 203$"):
        te.landmarks(basis, inputs.coefficients, inputs.pose, torch.tensor([0, 203]))


def test_rasterize():
    vertices, triangles = torch.rand(1, 9, 3), torch.tensor([[0, 1, 2]])
    cases = [
        (ValueError, r"^vertices: expected \(B, N, 3\), got \(9, 3\)", (vertices[0], triangles, 8)),
        (TypeError, "^vertices: expected float32 or float64", (vertices.half(), triangles, 8)),
        (ValueError, r"^triangles: expected \(T, 3\), got \(3,\)", (vertices, triangles[0], 8)),
        (TypeError, "^triangles: expected integer vertex indices", (vertices, triangles.float(), 8)),
        (ValueError, "^size: expected at least 1 x 1 pixels, got 0 x 4", (vertices, triangles, (0, 4))),
        (TypeError, "^size: expected a number or", (vertices, triangles, 8.5)),
        (TypeError, "^size: expected a number or", (vertices, triangles, (8, 8, 3))),
    ]
    for error, message, arguments in cases:
        with pytest.raises(error, match=message):
            te.rasterize(*arguments)


def test_rasterize_looks_at_values():
    vertices, triangles = torch.rand(1, 9, 3), torch.tensor([[0, 1, 2]])
    cases = [
        (r"^triangles: expected vertex indices in \[0, 9\), got 9", (vertices, triangles + 7, 8)),
        (
            r"^triangles: expected vertex indices in \[0, 9\), got -1",
            (vertices, triangles - 1, 8),
        ),
        (
            r"^triangles: expected vertex indices in \[0, 0\), got 2",
            (vertices[:, :0], triangles, 8),
        ),
    ]
    for message, arguments in cases:
        with pytest.raises(ValueError, match=message):
            te.rasterize(*arguments)
    for bad in (float("nan"), float("inf"), -float("inf")):
        spoiled = vertices.clone()
        spoiled[0, 4, 1] = bad
        with pytest.raises(ValueError, match=r"^vertices: expected finite numbers, got .* at vertex 4$"):
            te.rasterize(spoiled, triangles, 8)


@pytest.mark.parametrize("seed", range(60))
def test_random_arguments_never_crash(face, seed):
    """Shapes, dtypes and values at random: one of our Python exceptions or a result, nothing else."""
    basis, inputs = face
    rng = random.Random(seed)

    def anything():
        rank = rng.randrange(5)
        shape = [rng.choice([0, 1, 3, 4, 5, 12, 50, 62]) for _ in range(rank)]
        dtype = rng.choice(
            [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.complex64]
        )
        value = rng.choice([0.0, 1.0, float("nan"), float("inf"), 1e38])
        if not dtype.is_floating_point:
            value = 1
        return rng.choice(
            [torch.full(shape, value, dtype=dtype), torch.full(shape, value, dtype=dtype), None, 3]
        )

    good = {"c": inputs.coefficients, "p": inputs.pose, "w": inputs.predicted, "v": inputs.grad}
    mostly = {k: rng.choice([v, anything()]) for k, v in good.items()}
    calls = [
        lambda: te.vertices(basis, mostly["c"], mostly["p"]),
        lambda: te.landmarks(basis, mostly["c"], mostly["p"], rng.choice([None, anything()])),
        lambda: te.importance_weights(basis, mostly["w"], rng.choice([inputs.target, anything()])),
        lambda: te.vertex_distance_cost(basis, rng.choice([inputs.target, anything()]), mostly["w"]),
        lambda: te.vertex_distance_cost(basis, mostly["w"], inputs.target, factor=anything()),
        lambda: basis.distance_factor(anything()),
        lambda: te.rasterize(mostly["v"], rng.choice([torch.tensor([[0, 1, 2]]), anything()]), 16),
        lambda: te.MorphableBasis(anything(), anything(), anything()),
    ]
    for call in calls:
        message = None
        try:
            call()
        except (ValueError, TypeError) as error:
            message = str(error)
        assert message is None or ": " in message


def test_direct_calls_of_the_operators_are_checked_too(face):
    basis, inputs = face
    mean, modes = basis.packed()
    with pytest.raises(RuntimeError, match="twodasl: mean has the wrong shape"):
        torch.ops.twodasl.vertices(mean, modes, 100000, inputs.coefficients, inputs.pose)
    with pytest.raises(RuntimeError, match="twodasl: pose has the wrong dtype"):
        torch.ops.twodasl.vertices(mean, modes, 203, inputs.coefficients, inputs.pose.double())


def test_a_direct_call_of_rasterize_looks_at_values(face):
    _, inputs = face
    with pytest.raises(RuntimeError, match="twodasl: triangles refer to vertices that do not exist"):
        torch.ops.twodasl.rasterize(inputs.grad, torch.tensor([[0, 1, 203]]), 8, 8)
