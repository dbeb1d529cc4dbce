"""Every operator as a call on one device: used to test repeated runs, streams and graphs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import twodasl_ext as te

from ..ext.cases import CASES, Inputs, make
from ..ext.fit_cases import make_fit
from ..ext.skin_cases import SKIN_CASES, make_skin

Call = Callable[[], tuple[Tensor, ...]]
FACE = CASES[7]
"""1000 vertices, 49 modes, 15 faces: several tiles and a remainder of everything."""


def on(inputs: Inputs, device: torch.device) -> Inputs:
    """The same numbers on the device."""
    return Inputs(**{name: tensor.to(device) for name, tensor in vars(inputs).items()})


def clouds(device: torch.device, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Query (3, 700, 3), points (3, 900, 3) on a sphere, and the number of real ones."""
    generator = torch.Generator().manual_seed(3)
    query, points = (torch.randn(3, n, 3, generator=generator, dtype=torch.float64) for n in (700, 900))
    points = points / points.norm(dim=2, keepdim=True)
    lengths = torch.tensor([900, 1, 333])
    return query.to(device, dtype), points.to(device, dtype), lengths.to(device)


def scene(device: torch.device, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Vertices (2, 400, 3) and triangles (600, 3) over 64 x 48 pixels."""
    generator = torch.Generator().manual_seed(4)
    vertices = torch.rand(2, 400, 3, generator=generator, dtype=torch.float64) * 70 - 5
    triangles = torch.randint(0, 400, (600, 3), generator=generator)
    return vertices.to(device, dtype), triangles.to(device)


def calls(device: torch.device) -> dict[str, Call]:
    """Each operator forward, and backward where it has one, on tensors whose addresses do not change."""
    inputs = on(make(FACE).to(torch.float32), device)
    basis, half = inputs.basis(), inputs.basis(torch.bfloat16)
    basis.packed_distance_factor()  # kept from here on: a graph cannot build it
    query, points, lengths = clouds(device)
    index = te.PointIndex(points, lengths)
    hint = te.nearest_neighbors(query, index)[1]
    corners, triangles = scene(device)
    matrices = inputs.pose[:, :, :3].contiguous()
    c, pose = (t.clone().requires_grad_() for t in (inputs.coefficients, inputs.pose))
    predicted, target = (t.clone().requires_grad_() for t in (inputs.predicted, inputs.target))
    mean, modes = inputs.mean.clone().requires_grad_(), inputs.modes.clone().requires_grad_()
    asked, known = query.clone().requires_grad_(), points.clone().requires_grad_()
    ones = torch.ones(FACE.batch, device=device)
    output = torch.empty_like(inputs.grad)

    body = make_skin(SKIN_CASES[7]).to(torch.float32).to(device)
    skinned = body.leaves()

    fits = {grouped: fit_on(device, grouped=grouped) for grouped in (False, True)}

    def detached(*tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(t.detach() for t in tensors)

    def trained() -> tuple[Tensor, ...]:
        return torch.autograd.grad(
            te.vertices(te.MorphableBasis(mean, modes), c, pose), (mean, modes), inputs.grad
        )

    def neighbors_backward() -> tuple[Tensor, ...]:
        distances, _ = te.nearest_neighbors(asked, known, lengths=lengths)
        return torch.autograd.grad(distances.sum(), (asked, known))

    def many_neighbors_backward() -> tuple[Tensor, ...]:
        distances, _ = te.k_nearest_neighbors(asked, index, 5)
        return torch.autograd.grad(torch.where(torch.isinf(distances), 0, distances).sum(), asked)

    surface = corners.clone().requires_grad_()
    inside = (corners[:, :77] + 0.3).requires_grad_()

    def closest_backward() -> tuple[Tensor, ...]:
        distances = te.closest_point_on_mesh(inside, surface, triangles)[0]
        return torch.autograd.grad(distances.sum(), (inside, surface))

    return {
        "vertices": lambda: detached(te.vertices(basis, c, pose)),
        "vertices of half storage": lambda: detached(te.vertices(half, c, pose)),
        "vertices into memory": lambda: (
            te.vertices(basis, inputs.coefficients, inputs.pose, out=output).clone(),
        ),
        "vertices backward": lambda: torch.autograd.grad(te.vertices(basis, c, pose), (c, pose), inputs.grad),
        "vertices backward to the basis": trained,
        "landmarks": lambda: detached(te.landmarks(basis, c, pose)),
        "importance_weights": lambda: detached(te.importance_weights(basis, predicted, target)),
        "vertex_distance_cost": lambda: detached(te.vertex_distance_cost(basis, predicted, target)),
        "vertex_distance_cost backward": lambda: torch.autograd.grad(
            te.vertex_distance_cost(basis, predicted, target), (predicted, target), ones
        ),
        "nearest_neighbors": lambda: te.nearest_neighbors(query, points, lengths=lengths),
        "nearest_neighbors of an index": lambda: te.nearest_neighbors(query, index, hint=hint),
        "nearest_neighbors backward": neighbors_backward,
        "k_nearest_neighbors": lambda: te.k_nearest_neighbors(query, points, 5, lengths=lengths),
        "k_nearest_neighbors backward": many_neighbors_backward,
        "closest_point_on_mesh": lambda: detached(*te.closest_point_on_mesh(inside, surface, triangles)),
        "closest_point_on_mesh backward": closest_backward,
        "nearest_rotation": lambda: (te.nearest_rotation(matrices),),
        "rasterize": lambda: te.rasterize(corners, triangles, (48, 64)),
        "skin": lambda: (te.skin(body.vertices, body.weights, body.transforms),),
        "skin backward": lambda: torch.autograd.grad(te.skin(*skinned), skinned, body.grad),
        "iterative_closest_point": lambda: registration(points),
        "fit_landmarks": lambda: fits[False][0](),
        "fit_landmarks in groups": lambda: fits[True][0](),
        "fit_landmarks backward": lambda: fits[False][1](),
        "fit_landmarks backward in groups": lambda: fits[True][1](),
    }


NAMES = (
    "vertices",
    "vertices of half storage",
    "vertices into memory",
    "vertices backward",
    "vertices backward to the basis",
    "landmarks",
    "importance_weights",
    "vertex_distance_cost",
    "vertex_distance_cost backward",
    "nearest_neighbors",
    "nearest_neighbors of an index",
    "nearest_neighbors backward",
    "k_nearest_neighbors",
    "k_nearest_neighbors backward",
    "closest_point_on_mesh",
    "closest_point_on_mesh backward",
    "nearest_rotation",
    "rasterize",
    "skin",
    "skin backward",
    "iterative_closest_point",
    "fit_landmarks",
    "fit_landmarks in groups",
    "fit_landmarks backward",
    "fit_landmarks backward in groups",
)


def fit_on(device: torch.device, *, grouped: bool) -> tuple[Call, Call]:
    """Five steps of a fit to the points of five faces, and its gradients."""
    made = make_fit("orthographic", batch=5, count=30, modes=11, dtype=torch.float32)
    basis, points = made.basis.to(device), made.points.to(device)
    prior = te.CoefficientPrior(*(t.to(device) for t in vars(made.options["prior"]).values()))
    options = {"start": made.options["start"].to(device), "prior": prior, "iterations": 5}
    options |= {"pose_sigma": made.options["pose_sigma"].to(device)}
    sigma, leaf = made.sigma.to(device), points.clone().requires_grad_()
    if grouped:
        options |= {"groups": torch.tensor([1, 0, 1, 2, 1], device=device), "shared": 4}

    def forward() -> tuple[Tensor, ...]:
        return tuple(t.detach() for t in te.fit_landmarks(basis, points, sigma, **options))

    def backward() -> tuple[Tensor, ...]:
        found = te.fit_landmarks(basis, leaf, sigma, **options)
        return torch.autograd.grad(found.parameters, leaf, torch.ones_like(found.parameters))

    return forward, backward


def registration(points: Tensor) -> tuple[Tensor, ...]:
    """Five iterations that bring a moved cloud back."""
    moved = points[:, :500] * 1.01 + 0.05
    found = te.iterative_closest_point(moved, points, scale=True, max_iterations=5, tolerance=None)
    return found.rotation, found.translation, found.scale, found.rmse
