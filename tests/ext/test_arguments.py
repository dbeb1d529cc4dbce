"""NumPy numbers and lists as sizes, counts, fractions and indices; and what is refused with a message."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import twodasl_ext as te

from .cases import CASES, make

CLOUD = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(0))
NONE = torch.zeros(0, 9, 3)


def test_numbers_and_lists():
    inputs = make(CASES[5]).to(torch.float32)
    basis = te.MorphableBasis(inputs.mean, inputs.modes, inputs.landmarks.tolist())
    c, p = inputs.coefficients, inputs.pose
    for rows in ([3, 4], (3, 4), range(3, 5), np.array([3, 4], np.uint16)):
        assert torch.equal(te.landmarks(basis, c, p, rows), te.landmarks(basis, c, p, torch.tensor([3, 4])))
    assert te.landmarks(basis, c, p, []).shape == (9, 0, 3)
    for size in (np.int64(4), [4, 4], np.array([4, 4]), torch.tensor(4), torch.Size((4, 4))):
        assert te.rasterize(CLOUD, [[0, 1, 2]], size)[0].shape == (2, 4, 4)
    first = te.nearest_neighbors(CLOUD, CLOUD, lengths=[3, 4], query_lengths=np.array([9, 8]))
    again = te.nearest_neighbors(CLOUD, CLOUD, lengths=torch.tensor([3, 4]), query_lengths=[9, 8])
    assert torch.equal(first[0], again[0])
    te.iterative_closest_point(
        CLOUD, CLOUD, trim=np.float32(0.2), max_iterations=np.int64(3), tolerance=np.float64(1e-3),
        max_distance=torch.tensor(3.0), scale=np.bool_(True), source_lengths=[8, 9],
    )  # fmt: skip


def test_no_clouds_at_all():
    start = (torch.zeros(0, 3, 3), torch.zeros(0, 3))
    for options in ({}, {"scale": True}, {"method": "plane", "normals": NONE}, {"initialize": start}):
        assert te.iterative_closest_point(NONE, NONE, **options).rotation.shape == (0, 3, 3)


def test_a_word_is_no_flag():
    for name in ("scale", "recenter"):
        with pytest.raises(TypeError, match=f"^{name}: expected True or False, got 'no'$"):
            te.iterative_closest_point(CLOUD, CLOUD, **{name: "no"})
    with pytest.raises(TypeError, match=r"^squared: expected True or False, got 'no'$"):
        te.chamfer_distance(CLOUD, CLOUD, squared="no")


def test_numbers_beyond_any_are_named():
    huge = 10**5000
    calls = {
        "scale": lambda: te.iterative_closest_point(CLOUD, CLOUD, scale=huge),
        "trim": lambda: te.iterative_closest_point(CLOUD, CLOUD, trim=huge),
        "max_distance": lambda: te.iterative_closest_point(CLOUD, CLOUD, max_distance=-huge),
        "max_iterations": lambda: te.iterative_closest_point(CLOUD, CLOUD, max_iterations=huge),
        "tolerance": lambda: te.iterative_closest_point(CLOUD, CLOUD, tolerance=huge),
        "method": lambda: te.iterative_closest_point(CLOUD, CLOUD, method=huge),
        "size": lambda: te.rasterize(CLOUD[None].float(), torch.tensor([[0, 1, 2]]), huge),
    }
    for name, call in calls.items():
        with pytest.raises((TypeError, ValueError), match=f"^{name}: expected .* got "):
            call()


@pytest.mark.filterwarnings("ignore")
def test_nested_and_sparse_tensors_are_named():
    nested = torch.nested.nested_tensor([torch.zeros(3, 3), torch.zeros(4, 3)])
    for wrong, reason in ((nested, "a nested one"), (CLOUD.to_sparse(), "layout torch.sparse_coo")):
        with pytest.raises(TypeError, match=f"^source: expected a dense tensor, got {reason}"):
            te.iterative_closest_point(wrong, CLOUD)
        with pytest.raises(TypeError, match=f"^points: expected a dense tensor, got {reason}"):
            te.nearest_neighbors(CLOUD, wrong)


class Nearest(torch.nn.Module):
    def forward(self, query):
        return te.nearest_neighbors(query, query)[0]


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_refused_in_words():
    for make_script in (torch.jit.script, lambda module: torch.jit.trace(module, CLOUD)):
        with pytest.raises(RuntimeError, match=r"nearest_neighbors: .* not supported; use torch.compile or"):
            make_script(Nearest())
    with pytest.raises(RuntimeError, match=r"MorphableBasis: .* not supported; use torch.compile or"):
        torch.jit.script(make(CASES[5]).basis())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("first", [True, False], ids=["first", "kept"])
def test_a_trace_of_a_basis_is_refused_in_words(first):
    basis = make(CASES[5]).basis()
    calls = (
        basis.packed, basis.packed_landmarks, basis.plain, basis.distance_factor,
        basis.packed_distance_factor, lambda: basis.packed_rows(torch.tensor([1])),
        lambda: basis.distance_factor(torch.ones(basis.vertex_count)),
    )  # fmt: skip
    for call in calls:
        if not first:
            call()
        with pytest.raises(RuntimeError, match=r"MorphableBasis: .* not supported; use torch.compile or"):
            torch.jit.trace(lambda x, call=call: x + call()[0].sum(), torch.ones(()))


def test_names_of_the_package():
    assert te.reference.vertices is not te.vertices
    assert te.__version__
