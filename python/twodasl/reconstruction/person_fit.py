"""One shape for all photos of a person, and which of them contradict the others."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

import twodasl_ext

from .landmark_fit import LandmarkFit, Points, for_shape

CONTRADICTION = 0.1
"""A face contradicts n others where their shape raises the cost of its fit by more than (1 + 1/n) times this
share of (the cost with a shape of its own + as many as numbers were fitted to): two shapes differ by the
errors of both, and that of n photos errs by 1/n of one's variance. How often faces do so wrongly, and how
often strangers' do, see `benchmarks.experiments.same_person`."""

# Photos are compared with those outside their part, so that the time grows with their number and no faster.
_PARTS = 8


class FittedPerson(NamedTuple):
    """Of n photos.

    Attributes:
        parameters: (n, 12+K); the shape coefficients are equal to the bit.
        contradicts, left_out: (n,) bool, see `Person`.
        misfit: (n,) what `CONTRADICTION` limits, over (1 + 1/n); 0 where nothing tells.
    """

    parameters: Tensor
    contradicts: Tensor
    left_out: Tensor
    misfit: Tensor


class PersonFit:
    """Fits one identity to several faces.

    **How photos are weighed.** Landmarks that came with the photos err independently: each counts in full.
    The network errs about a person again and again:

    - Its own points of n photos count for the shape as much as those of one: their sigma is sqrt(n) times as
      wide. For pose and expression, which every photo has for itself, they count in full.
    - Of its coefficients, the photos' own scatter says how much of the error is not common: W is the variance
      between photos over the variance of the error (`FitPriors.coefficients`), the mean of all shape
      coefficients, at most 1. The mean of n then has 1 - W (1 - 1/n) times the variance of one: nearly equal
      frames of a video count once, independent looks n times.

    **Contradictions.** A face is compared with the shape of the others, see `CONTRADICTION`. Those that
    contradict have no say in the shape, the worst first, as long as more than half of the photos keep
    theirs. So of two photos that contradict each other both are named and none is left out. A face without
    points of any kind cannot contradict.

    Args:
        fit: of single faces.
        alike: which share of the variance of the own points' errors is common to all photos of a person.
        scatter: W, see above; None: from the photos.
    """

    def __init__(self, fit: LandmarkFit, *, alike: float = 1.0, scatter: float | None = None) -> None:
        self._fit, self._weighing = fit, (alike, scatter)

    def __call__(self, parameters: Tensor, detected: Points | None, own: Points | None) -> FittedPerson:
        """Fit n faces, see `LandmarkFit`. One is fitted as it is alone."""
        count = len(parameters)
        problem = _Problem(self._fit, self._weighing, parameters, detected, own)
        none = torch.zeros(count, dtype=torch.bool, device=parameters.device)
        if count == 1:
            return FittedPerson(problem.alone(), none, none, none.to(parameters))
        left_out = none.clone()
        while True:
            misfit = problem.misfit(~left_out)
            over = misfit > CONTRADICTION
            if int((~left_out).sum()) == 2:  # if one contradicts, the other does
                over |= ~left_out & over[~left_out].any()
            # The worst quarter of them, and no more than half of all photos in the end.
            again = (over & ~left_out).nonzero()[:, 0]
            spare = (count - 1) // 2 - int(left_out.sum())
            worst = min(-(-len(again) // 4), spare)
            if worst < 1:
                return FittedPerson(problem.together(~left_out), over, left_out & over, misfit)
            left_out[again[misfit[again].argsort(descending=True)[:worst]]] = True


class _Problem:
    """The faces of a person, and what fits of some of them say."""

    def __init__(
        self,
        fit: LandmarkFit,
        weighing: tuple[float, float | None],
        parameters: Tensor,
        detected: Points | None,
        own: Points | None,
    ) -> None:
        self._alike, self._scatter = weighing
        self._fit, self._count, self._parameters = fit, fit.shape_count, parameters
        self._points = detected, own
        self._detected, self._own = None if detected is None else for_shape(detected), own
        sources = [source.sigma for source in (detected, own) if source is not None]
        seen = [sigma.isfinite() for sigma in sources] or [parameters.new_zeros(len(parameters), 1).bool()]
        self._has_points = torch.cat(seen, 1).any(dim=1)

    @cached_property
    def _alone(self) -> twodasl_ext.LandmarkFit | None:
        """The fit of each face for its own shape; None without points of any kind."""
        if self._detected is None and self._own is None:
            return None
        return self._fitted(torch.arange(len(self._parameters)))

    def alone(self) -> Tensor:
        """Parameters of each face for itself; as the network says them where there is nothing to fit to."""
        if not bool(self._has_points.any()):
            return self._parameters
        return torch.where(
            self._has_points[:, None], self._fit(self._parameters, *self._points), self._parameters
        )

    def together(self, heard: Tensor) -> Tensor:
        """Parameters of all faces with the shape of those that are heard (n,)."""
        rows = heard.nonzero()[:, 0]
        shape = self._shapes(rows, torch.zeros_like(rows))
        parameters = self._parameters.clone()
        if self._alone is not None:
            shapes = shape.expand(len(parameters), -1)
            fitted = self._fit.with_shapes(shapes, parameters, *self._points)
            parameters = torch.where(self._has_points[:, None], fitted, parameters)
        parameters[:, 12 : 12 + self._count] = shape
        return parameters

    def misfit(self, heard: Tensor) -> Tensor:
        """(n,) how much worse each face fits with the shape of the others that are heard (n,)."""
        if self._alone is None:
            return self._parameters.new_zeros(len(heard))
        part = self._parts(heard)
        rows, groups = [], []
        for number in range(int(part.max()) + 1):
            others = (heard & (part != number)).nonzero()[:, 0]
            rows.append(others)
            groups.append(torch.full_like(others, number))
        shapes = self._shapes(torch.cat(rows), torch.cat(groups))
        held = self._fit.held(shapes[part], self._parameters, self._detected, self._own)
        seen = (self._alone.residuals != 0).sum(dim=(1, 2))
        misfit = (held.cost - self._alone.cost) / (self._alone.cost + seen)
        count = torch.tensor([len(others) for others in rows], device=heard.device)[part]
        return torch.where(self._has_points, misfit / (1 + 1 / count), 0.0)

    def _parts(self, heard: Tensor) -> Tensor:
        """(n,) the number of each face's part. Of no more faces than parts each is one; the others' last."""
        # By what the network says and not by their order, which must not matter.
        order = self._parameters[:, 3].argsort(stable=True)
        order = torch.cat([order[heard[order]], order[~heard[order]]])
        kept = int(heard.sum())
        number = torch.arange(len(order), device=order.device)
        # Faces that are not heard are compared with all that are.
        number = torch.where(number < kept, number % min(kept, _PARTS), min(kept, _PARTS))
        return torch.empty_like(number).scatter_(0, order, number)

    def _shapes(self, rows: Tensor, groups: Tensor) -> Tensor:
        """(G, Ks) the shapes that groups of faces share; groups (len(rows),) are numbered from 0 on."""
        coefficients = self._parameters[rows, 12 : 12 + self._count]
        total = int(groups.max()) + 1
        size = coefficients.new_zeros(total).index_add_(0, groups, coefficients.new_ones(len(rows)))
        said = self._fit.priors.coefficient_sigma(self._fit.spread)[: self._count]
        mean = coefficients.new_zeros(total, self._count).index_add_(0, groups, coefficients) / size[:, None]
        if self._alone is None:
            return mean
        scatter = ((coefficients - mean[groups]) / said).square().mean(dim=1)
        scatter = scatter.new_zeros(total).index_add_(0, groups, scatter) / (size - 1).clamp_min(1)
        trust = 1 / (1 - scatter.clamp_max(1) * (1 - 1 / size))
        if self._scatter is not None:
            trust = 1 / (1 - self._scatter * (1 - 1 / size))
        weights = coefficients.new_ones(len(rows), self._parameters.shape[1] - 12)
        weights[:, : self._count] = trust[groups, None]
        wider = (1 + self._alike * (size[groups, None] - 1)).sqrt()
        fit = self._fitted(rows, trust=weights, wider=wider, groups=groups)
        first = torch.full((total,), len(rows), device=rows.device).scatter_reduce_(
            0, groups, torch.arange(len(rows), device=rows.device), "amin"
        )
        return fit.coefficients[first, : self._count]

    def _fitted(
        self,
        rows: Tensor,
        trust: Tensor | None = None,
        wider: Tensor | None = None,
        groups: Tensor | None = None,
    ) -> twodasl_ext.LandmarkFit:
        problem = self._fit.problem(self._parameters[rows], *self._sources(rows, wider), trust)
        shared = None if groups is None else self._count
        return twodasl_ext.fit_landmarks(self._fit.basis, **problem, groups=groups, shared=shared)

    def _sources(self, rows: Tensor, wider: Tensor | None = None) -> tuple[Points | None, Points | None]:
        """The points of some faces; the network's own so many times (len(rows), 1) as wide."""
        detected, own = (
            None if source is None else Points(*(values[rows] for values in source))
            for source in (self._detected, self._own)
        )
        if own is not None and wider is not None:
            own = own._replace(sigma=own.sigma * wider)
        return detected, own
