"""The JSON file's weights of ARKit's blend shapes are those of the face's expression."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from twodasl.io.images import read_image
from twodasl.morphable import ARKIT_NAMES, to_arkit
from twodasl.reconstruction.reconstructor import FaceReconstructor
from twodasl.reconstruction.results import facts

pytest.importorskip("twodasl_ext")


def test_the_weights_are_among_the_facts(photo_path, photo68) -> None:
    reconstruct = FaceReconstructor()
    image = read_image(photo_path)
    face = reconstruct(image, photo68)
    found = facts(image, reconstruct, face)["arkit"]
    assert tuple(found) == ARKIT_NAMES
    assert found == {name: round(weight, 4) for name, weight in to_arkit(reconstruct.model, face).items()}
    assert min(found["mouthSmileLeft"], found["mouthSmileRight"]) > 0.15  # she smiles
    still = replace(face, expression=np.zeros_like(face.expression))
    assert set(facts(image, reconstruct, still)["arkit"].values()) == {0.0}
