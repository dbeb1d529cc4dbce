"""Contours: candidates for points that a detector puts on the outline of a face, wherever that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ._arguments import INTEGERS, as_indices, as_tensor, real_number, whole_number
from ._checks import check_indices, check_tensor, shape_text
from ._devices import check_move
from .basis import MorphableBasis

# Parts of a line over a face; more than one over the distance of its vertices is of no use.
_WIDEST = 1024


@dataclass(frozen=True)
class Contours:
    """Which vertices each point of a fit may be, and which way is out.

    A detector puts the points of the jaw where the face ends in the image. Turn the head, and that is another
    line on it. Of a point's candidates the fit takes, for every pose that it tries, the one whose image lies
    furthest out along `outward`.

    Attributes:
        candidates: (L, C) vertex indices, filled up with -1. The first of each row is the vertex of the point
            in a face seen from the front; a point with no other is always there.
        outward: (L, 2) in an upright face seen from the front: to the right (+x) and up (+y). It turns with
            the face's up direction in the image. Rows of points with one candidate do not matter.

    The mean shape is upright: +x to the right in the image, +y up, +z towards the viewer. An orthographic
    image has y up, as the mean; one of `Perspective` has y down and looks along +z, as cameras do.
    """

    candidates: Tensor
    outward: Tensor

    def __post_init__(self) -> None:
        candidates = check_tensor(as_indices(self.candidates, "candidates"), "candidates")
        outward = check_tensor(as_tensor(self.outward, "outward"), "outward")
        if candidates.dtype not in INTEGERS:
            raise TypeError(f"candidates: expected integer vertex indices, got {candidates.dtype}")
        if candidates.dim() != 2 or not candidates.shape[1]:
            raise ValueError(
                f"candidates: expected (L, C) with at least one column, got {shape_text(candidates)}"
            )
        if tuple(outward.shape) != (len(candidates), 2):
            raise ValueError(
                f"outward: expected ({len(candidates)}, 2) like candidates, got {shape_text(outward)}"
            )
        if not outward.is_floating_point():
            raise TypeError(f"outward: expected floating-point numbers, got {outward.dtype}")
        if outward.device != candidates.device:
            raise ValueError(
                f"outward: expected device {candidates.device} like candidates, got {outward.device}"
            )
        object.__setattr__(self, "candidates", candidates.to(torch.int64))
        object.__setattr__(self, "outward", outward)

    def to(self, device: Any) -> Contours:
        """The same on another device. ValueError where it cannot be moved there."""
        check_move(lambda tensor: tensor.to(device), self.outward, "contours")
        return Contours(self.candidates.to(device), self.outward.to(device))

    def check(self, basis: MorphableBasis) -> None:
        """ValueError unless all candidates are vertices of the basis."""
        if self.candidates.device != basis.device:
            raise ValueError(
                f"contours: expected device {basis.device} like the basis, got {self.candidates.device}"
            )
        looked_at = self.candidates if self.candidates.device.type == "cpu" else self.candidates[:0]
        check_indices(looked_at[:, 0], basis.vertex_count, "contours' first candidates")
        check_indices(looked_at.clamp(min=0).flatten(), basis.vertex_count, "contours' candidates")

    @classmethod
    def of_outline(
        cls,
        basis: MorphableBasis,
        outline: Any,
        vertices: Any = None,
        *,
        width: int = 16,
        reach: float = 0.6,
        thickness: float | None = None,
    ) -> Contours:
        """Candidates along lines over the mean shape, from each point of its outline towards the middle.

        Args:
            basis: an upright one, +y up and +z towards the viewer.
            outline: which of `vertices` lie on the outline, in their order along it: range(17) of the usual
                68.
            vertices: (L,) vertex indices; None takes the basis's landmarks.
            width: C, how many candidates a point has.
            reach: how far the lines go, as a part of the way to the middle of all points.
            thickness: how far from its line a vertex may be, in the mean's unit; None takes a 40th of the
                mean shape's height.

        A line is where the surface meets the plane through the point that holds its outward direction and the
        viewing direction; in each of its C - 1 parts the frontmost vertex near that plane is a candidate.
        """
        rows = basis.landmarks if vertices is None else as_indices(vertices, "vertices", basis.device)
        if rows is None:
            raise ValueError("vertices: expected some for a basis without landmarks, got None")
        rows = check_indices(rows, basis.vertex_count, "vertices").to(basis.device)
        which = _outline(outline, len(rows), basis.device)
        wanted = f"a number of candidates from 1 to {_WIDEST}"
        columns = whole_number(width, "width", wanted)
        if not 1 <= columns <= _WIDEST:
            raise ValueError(f"width: expected {wanted}, got {width}")
        part = real_number(reach, "reach", "a part of the way, more than 0 and at most 1")
        if not 0 < part <= 1:
            raise ValueError(f"reach: expected a part of the way, more than 0 and at most 1, got {reach}")
        mean = basis.mean.detach().to(torch.float64)
        if thickness is None:
            band = float(mean[:, 1].max() - mean[:, 1].min()) / 40
        else:
            band = real_number(thickness, "thickness", "a distance >= 0 or None")
            if not band >= 0:
                raise ValueError(f"thickness: expected a distance >= 0 or None, got {thickness}")
        normals = _normals(mean[rows], which)
        candidates = torch.full((len(rows), columns), -1, dtype=torch.int64, device=mean.device)
        candidates[:, 0] = rows
        middle = mean[rows].mean(dim=0)
        for point in which.tolist():
            found = _line(mean, mean[rows[point]], normals[point], middle, columns - 1, part, band)
            candidates[point, 1 : 1 + len(found)] = found
        return cls(candidates, normals.to(basis.dtype))


def _outline(outline: Any, count: int, device: torch.device) -> Tensor:
    which = check_indices(as_indices(outline, "outline", device), count, "outline").to(device)
    if len(which) < 2:
        raise ValueError(f"outline: expected at least two points, got {len(which)}")
    return which


def _normals(places: Tensor, which: Tensor) -> Tensor:
    """(L, 2): across the outline, away from the middle; zeros off the outline."""
    line = places[which, :2]
    before, after = torch.cat((line[:1], line[:-1])), torch.cat((line[1:], line[-1:]))
    along = after - before
    across = torch.stack((along[:, 1], -along[:, 0]), dim=1)
    across = across / across.norm(dim=1, keepdim=True).clamp(min=1e-30)
    away = ((line - places[:, :2].mean(dim=0)) * across).sum(dim=1, keepdim=True)
    normals = places.new_zeros(len(places), 2)
    normals[which] = torch.where(away < 0, -across, across)
    return normals


def _line(
    mean: Tensor, place: Tensor, normal: Tensor, middle: Tensor, parts: int, reach: float, band: float
) -> Tensor:
    """Vertices inward of `place`, the frontmost of each part, from the outside in."""
    apart = mean[:, :2] - place[:2]
    inward = -(apart @ normal)
    aside = apart[:, 0] * normal[1] - apart[:, 1] * normal[0]
    length = reach * -((middle[:2] - place[:2]) @ normal)
    part = torch.floor(inward / length * parts)
    near = (aside.abs() <= band) & (part >= 0) & (part < parts) & (mean[:, 2] > place[2])
    found = []
    for number in range(parts):
        inside = (near & (part == number)).nonzero()[:, 0]
        if len(inside):
            found.append(inside[mean[inside, 2].argmax()])
    return torch.stack(found) if found else torch.zeros(0, dtype=torch.int64, device=place.device)
