"""Posing a head with joints: FLAME's neck, jaw and eyes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..errors import InputError
from .model import MorphableModel


class PosedHead(nn.Module):
    """The head of a model that has `skinning`, on one device, with gradients to all that it is given.

    Raises InputError for a model without joints.
    """

    weights: Tensor
    joints: Tensor
    joint_modes: Tensor
    correctives: Tensor

    def __init__(self, model: MorphableModel, *, storage: torch.dtype = torch.float32) -> None:
        super().__init__()
        skinning = model.skinning
        if skinning is None:
            raise InputError(f"model: {model.name!r} has no joints; expected a FLAME or GNM head")
        self.names = skinning.names
        self.parents = skinning.parents.tolist()
        self.basis = model.basis(storage=storage)
        for key in ("weights", "joints", "joint_modes"):
            self.register_buffer(key, torch.from_numpy(getattr(skinning, key)), persistent=False)
        correctives = torch.from_numpy(skinning.correctives).flatten(1)
        self.register_buffer("correctives", correctives, persistent=False)

    def forward(
        self,
        coefficients: Tensor,
        turns: Tensor | Mapping[str, Tensor] | None = None,
        translation: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Vertices and joints.

        Args:
            coefficients: (B, Ks+Ke) float32, not whitened.
            turns: (B, J, 3), axis times angle in radians, in the order of `names`; or a mapping of some of
                the names to (B, 3); None turns nothing. A turn is about the joint, in its parent's frame.
            translation: (B, 3) in millimeters, or None.

        Returns:
            (B, N, 3) and (B, J, 3) in millimeters.

        Raises:
            InputError: a shape that does not fit, or a name of no joint.

        Source: Li et al., "Learning a model of facial shape and expression from 4D scans" (FLAME), 2017.
        """
        import twodasl_ext  # as in MorphableModel.basis

        if coefficients.dim() != 2 or coefficients.shape[1] != len(self.joint_modes):
            wanted = f"(B, {len(self.joint_modes)})"
            raise InputError(f"coefficients: expected {wanted}, got {tuple(coefficients.shape)}")
        if translation is not None and translation.shape != (len(coefficients), 3):
            wanted = f"({len(coefficients)}, 3)"
            raise InputError(f"translation: expected {wanted}, got {tuple(translation.shape)}")
        batch, one = len(coefficients), torch.eye(3).to(coefficients)
        rotations = rotation_matrices(self._turns(turns, coefficients))
        rest = torch.nn.functional.pad(one, (0, 1)).expand(batch, 3, 4)
        vertices = twodasl_ext.vertices(self.basis, coefficients, rest)
        turned = (rotations - one)[:, len(self.names) - len(self.correctives) // 9 :].flatten(1)
        vertices = vertices + (turned @ self.correctives).reshape(vertices.shape)
        joints = self.joints + torch.einsum("bk,kjc->bjc", coefficients, self.joint_modes)
        transforms, places = joint_transforms(rotations, joints, self.parents)
        if translation is not None:
            transforms = transforms + torch.nn.functional.pad(translation[:, None, :, None], (3, 0))
            places = places + translation[:, None]
        return twodasl_ext.skin(vertices, self.weights, transforms), places

    def _turns(self, turns: Tensor | Mapping[str, Tensor] | None, like: Tensor) -> Tensor:
        wanted = (len(like), len(self.names), 3)
        if isinstance(turns, Tensor):
            if tuple(turns.shape) != wanted:
                raise InputError(f"turns: expected {wanted}, got {tuple(turns.shape)}")
            return turns
        given = {} if turns is None else dict(turns)
        unknown = [name for name in given if name not in self.names]
        if unknown:
            raise InputError(f"turns: expected some of {', '.join(self.names)}, got {unknown[0]!r}")
        for name, turn in given.items():
            if tuple(turn.shape) != (len(like), 3):
                raise InputError(f"turns[{name!r}]: expected ({len(like)}, 3), got {tuple(turn.shape)}")
        still = like.new_zeros(len(like), 3)
        return torch.stack([given.get(name, still) for name in self.names], dim=1)


def rotation_matrices(turns: Tensor) -> Tensor:
    """(..., 3), axis times angle in radians -> (..., 3, 3); exact and differentiable at zero, too."""
    x, y, z = turns.unbind(-1)
    o = torch.zeros_like(x)
    cross = torch.stack((o, -z, y, z, o, -x, -y, x, o), dim=-1)
    return torch.linalg.matrix_exp(cross.unflatten(-1, (3, 3)))


def joint_transforms(rotations: Tensor, joints: Tensor, parents: list[int]) -> tuple[Tensor, Tensor]:
    """What moves a point at rest with each joint, and where the joints go.

    Args:
        rotations: (B, J, 3, 3), each in its parent's frame.
        joints: (B, J, 3) at rest.
        parents: the joint before each; -1 for the first.

    Returns:
        (B, J, 3, 4), rows of `R | t`, and (B, J, 3).
    """
    turns, places = [rotations[:, 0]], [joints[:, 0]]
    for joint, parent in enumerate(parents[1:], start=1):
        away = joints[:, joint] - joints[:, parent]
        places.append(places[parent] + (turns[parent] @ away[..., None])[..., 0])
        turns.append(turns[parent] @ rotations[:, joint])
    turned, moved = torch.stack(turns, dim=1), torch.stack(places, dim=1)
    shift = moved - (turned @ joints[..., None])[..., 0]
    return torch.cat((turned, shift[..., None]), dim=-1), moved
