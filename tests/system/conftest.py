"""A face model and a network so small that tests can make them, and the photograph of scikit-image."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from twodasl.errors import InputError
from twodasl.landmarks import read_landmarks
from twodasl.morphable import MorphableModel, load_model
from twodasl.morphable.sketch import sketch
from twodasl.networks import build_regressor
from twodasl.reconstruction import overview, several_looks, texture_files
from twodasl.training.checkpoint import save_checkpoint
from twodasl.training.config import NetworkConfig, TrainingConfig

ROWS, COLUMNS = 25, 40
AXES = np.array([75.0, 105.0, 90.0])  # half a head, millimeters


@pytest.fixture(scope="session")
def photo68() -> np.ndarray:
    """(68, 2) landmarks of the photograph."""
    return read_landmarks(str(files("twodasl") / "resources/astronaut68.csv"))


@pytest.fixture(scope="session")
def photo_path() -> Path:
    """The photograph: `astronaut`, 512x512, in scikit-image's own folder."""
    return Path(skimage.__file__).parent / "data/astronaut.png"


@pytest.fixture(scope="module")
def small_pictures() -> Generator[None]:
    """Small panels and textures for tests of other things: at full size they take most of a run's time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(overview, "PANEL", 80)
        patched.setattr(texture_files, "USUAL", 64)
        yield


@pytest.fixture
def one_look(monkeypatch) -> None:
    """For networks that say the same of every crop, and so are right at one size only."""
    monkeypatch.setattr(several_looks, "SIZES", (1.0,))


@pytest.fixture(scope="session")
def ball_model(photo68) -> MorphableModel:
    """A closed ellipsoid of about a thousand vertices with the 68 landmarks where a face has them."""
    return make_ball(photo68)


def make_ball(photo68: np.ndarray, name: str = "ball", stretch: float = 1.0) -> MorphableModel:
    polar, around = np.meshgrid(
        np.linspace(0, np.pi, ROWS + 2)[1:-1], np.arange(COLUMNS) * 2 * np.pi / COLUMNS, indexing="ij"
    )
    unit = np.stack([np.sin(polar) * np.sin(around), np.cos(polar), np.sin(polar) * np.cos(around)], -1)
    unit = np.concatenate([unit.reshape(-1, 3), [[0, 1, 0], [0, -1, 0]]])
    ring = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    a, b = ring[:-1], ring[1:]
    following = [np.roll(a, -1, 1), np.roll(b, -1, 1)]
    top, bottom = ROWS * COLUMNS, ROWS * COLUMNS + 1
    triangles = np.concatenate(
        [
            np.stack([a, b, following[1]], -1).reshape(-1, 3),
            np.stack([a, following[1], following[0]], -1).reshape(-1, 3),
            np.stack([np.full(COLUMNS, top), ring[0], np.roll(ring[0], -1)], -1),
            np.stack([np.full(COLUMNS, bottom), np.roll(ring[-1], -1), ring[-1]], -1),
        ]
    )
    mean = unit * AXES * [stretch, 1, 1]
    shape = np.stack([unit * [8, 0, 0], unit * [0, 10, 0]])
    expression = (unit * [0, 0, 5])[None]
    # The photograph's points, 150 mm tall, on the front of the ellipsoid.
    flat = (photo68 - photo68.mean(0)) * [1, -1] * 150 / np.ptp(photo68[:, 1])
    front = np.where(unit[:, 2] > 0, 0, 1e6)
    nearest = np.linalg.norm(mean[:, None, :2] - flat, axis=2) + front[:, None]
    return MorphableModel(
        name=name,
        mean=mean.astype(np.float32),
        shape_modes=shape.astype(np.float32),
        expression_modes=expression.astype(np.float32),
        coefficient_std=np.array([1, 1, 1], np.float32),
        triangles=triangles.astype(np.int64),
        landmarks=nearest.argmin(0).astype(np.int64),
    )


def save_network(path: Path, model: MorphableModel, model_path: Path, weights: float = 0.0) -> Path:
    """A checkpoint of an untrained small network whose answers scatter by `weights` about a centered face.

    With 0 the answer is the same for every photo: the model's mean, frontal, 0.45 pixels a millimeter.
    """
    torch.manual_seed(0)
    config = TrainingConfig(network=NetworkConfig(regressor="small"))
    settings = config.to_dict()
    settings["data"]["model"] = str(model_path)
    outputs = 12 + len(model.coefficient_std)
    network = build_regressor("small", outputs).eval()
    torch.nn.init.normal_(network.output.weight, std=weights)
    torch.nn.init.zeros_(network.output.bias)
    middle = torch.zeros(outputs)
    middle[[0, 5, 10]] = 0.45
    middle[[3, 7]] = 60.0
    spread = torch.full((outputs,), 0.1)
    spread[[3, 7]] = 5.0
    save_checkpoint(
        path,
        {
            "config": settings,
            "model_name": model.name,
            "model_identity": model.identity,
            "model_counts": list(model.counts),
            "model_sketch": torch.from_numpy(sketch(model)),
            "whitening": {"mean": middle, "std": spread},
            "regressor": network.state_dict(),
            "step": 0,
            "epoch": 0,
        },
    )
    return path


@pytest.fixture(scope="session")
def ball_path(ball_model, tmp_path_factory) -> Path:
    """The model in a file."""
    path = tmp_path_factory.mktemp("model") / "ball.npz"
    ball_model.save(path)
    return path


@pytest.fixture(scope="session")
def ball_checkpoint(ball_model, ball_path, tmp_path_factory) -> Path:
    """A network that always answers with the same centered face."""
    return save_network(tmp_path_factory.mktemp("checkpoint") / "ball.pt", ball_model, ball_path)


@pytest.fixture(scope="session")
def lively_checkpoint(ball_model, ball_path, tmp_path_factory) -> Path:
    """A network whose answer depends on what it sees."""
    return save_network(tmp_path_factory.mktemp("checkpoint") / "lively.pt", ball_model, ball_path, 1.0)


@pytest.fixture(scope="session")
def other_model(photo68, tmp_path_factory) -> Path:
    """Another face model's file, with the same counts."""
    path = tmp_path_factory.mktemp("model") / "wide.npz"
    make_ball(photo68, "wide", 1.2).save(path)
    return path


@dataclass(frozen=True)
class FaceParts:
    """A face in millimeters as its publishers take it apart, for files in their formats.

    mean (N, 3); bases (3N, K), interleaved, of unit columns; sigma (K,) in millimeters; triangles (T, 3),
    turned inward, and landmarks (68,), counted from 0; colors (N, 3) from 0 to 1, with a basis too.
    """

    mean: np.ndarray
    bases: dict[str, np.ndarray]
    sigma: dict[str, np.ndarray]
    triangles: np.ndarray
    landmarks: np.ndarray
    colors: np.ndarray

    @property
    def places(self) -> np.ndarray:
        """(204,): 3DDFA's places of the landmarks in the interleaved vector."""
        return (3 * self.landmarks[:, None] + np.arange(3)).ravel()

    def modes(self, part: str) -> np.ndarray:
        """(K, N, 3) of one standard deviation."""
        return (self.bases[part] * self.sigma[part]).T.reshape(-1, len(self.mean), 3)

    def check(self, model: MorphableModel, shape="shape", expression="expression") -> None:
        """The model is this face, in millimeters, a coefficient a standard deviation, triangles outward."""
        np.testing.assert_allclose(model.mean, self.mean, rtol=0, atol=2e-5)
        for modes, part in ((model.shape_modes, shape), (model.expression_modes, expression)):
            wanted = self.modes(part) if part else np.zeros((0, *self.mean.shape))
            assert modes.shape == wanted.shape
            np.testing.assert_allclose(modes, wanted, rtol=2e-6, atol=1e-6)
        assert (model.coefficient_std == 1).all()
        assert model.units == "mm"
        np.testing.assert_array_equal(model.triangles, self.triangles[:, ::-1])
        np.testing.assert_array_equal(model.landmarks, self.landmarks)
        assert model.named_landmarks == {"chin": self.landmarks[8]}


@pytest.fixture(scope="session")
def face_parts(ball_model) -> FaceParts:
    """The ellipsoid's, with 5 shape, 3 expression and 2 color modes."""
    rng = np.random.default_rng(7)
    size = ball_model.mean.size
    bases = {
        part: np.linalg.qr(rng.normal(size=(size, modes)))[0]
        for part, modes in (("shape", 5), ("expression", 3), ("color", 2))
    }
    return FaceParts(
        mean=ball_model.mean.astype(np.float64),
        bases=bases,
        sigma={
            "shape": np.array([90.0, 70, 40, 20, 10]),
            "expression": np.array([30.0, 20, 5]),
            "color": np.array([0.5, 0.25]),
        },
        triangles=ball_model.triangles[:, ::-1].copy(),
        landmarks=ball_model.landmarks.copy(),
        colors=rng.uniform(0.2, 0.8, ball_model.mean.shape),
    )


@pytest.fixture
def refuses():
    """Check that `load_model(path)` refuses a file in one sentence that names it and matches `pattern`."""

    def check(path: Path, pattern: str, named: str | None = None) -> None:
        with pytest.raises(InputError, match=pattern) as caught:
            load_model(path)
        message = str(caught.value)
        assert (named or path.name) in message
        assert "\n" not in message
        assert len(message) - len(str(path)) < 500
        assert type(caught.value) is InputError

    return check
