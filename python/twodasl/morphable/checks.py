"""What functions say that want a face model and get something else, such as its name."""

from __future__ import annotations

from ..arguments import shown
from ..errors import InputError
from .model import MorphableModel


def check_model(model: object) -> None:
    """Raise InputError unless `model` is a MorphableModel."""
    if not isinstance(model, MorphableModel):
        raise InputError(f"model: expected a MorphableModel, as from load_model, got {shown(model)}")
