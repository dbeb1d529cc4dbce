"""ICT-FaceKit's folder: a miniature one in its layout, and the real one where it is at hand."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from twodasl.errors import InputError
from twodasl.morphable import ARKIT_NAMES, arkit_shapes, load_model
from twodasl.morphable.arkit.names import ict_names
from twodasl.morphable.readers.ict_facekit import LANDMARKS, read_ict_facekit

REAL = Path(__file__).resolve().parents[4] / "shared/data/ict_facekit.tar.xz"
SIDE = 9  # vertices along an edge of the miniature


def write_mesh(path: Path, vertices: np.ndarray, faces: list[list[int]]) -> None:
    lines = [
        "# miniature",
        "mtllib none.mtl",
        *("v {:g} {:g} {:g}".format(*row) for row in vertices),
        "vt 0 0",
    ]
    half = len(faces) - 4
    for start, stop, material in ((0, half, "M_Face"), (half, len(faces), "M_EyeLashes")):
        lines.append(f"usemtl {material}")
        lines += ["f " + " ".join(f"{corner + 1}/1" for corner in face) for face in faces[start:stop]]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    shapes = tmp_path / "FaceXModel"
    shapes.mkdir()
    rows, columns = np.divmod(np.arange(SIDE * SIDE), SIDE)
    neutral = np.stack([columns - 4.0, rows - 4.0, rng.normal(size=SIDE * SIDE)], 1)
    faces = [
        [r * SIDE + c, r * SIDE + c + 1, (r + 1) * SIDE + c + 1, (r + 1) * SIDE + c]
        for r in range(SIDE - 1)
        for c in range(SIDE - 1)
    ]
    write_mesh(shapes / "generic_neutral_mesh.obj", neutral, faces)
    for index in range(3):
        write_mesh(shapes / f"identity{index:03d}.obj", neutral + rng.normal(size=neutral.shape), faces)
    for name in ("jawOpen", "mouthSmile_L", "mouthSmile_R", "eyeBlink_L", "eyeBlink_R", "eyeLookUp_L"):
        write_mesh(shapes / f"{name}.obj", neutral + rng.normal(size=neutral.shape), faces)
    indices = list(range(68))
    indices[36], indices[45] = 0, SIDE - 1  # the outer eye corners, eight units apart
    text = "Multi-PIE 68 point facial landmarks indices:\n\n    " + ", ".join(map(str, indices)) + "\n"
    (tmp_path / "README.md").write_text(text)
    return tmp_path


def test_a_miniature_folder(folder):
    model = load_model(folder)
    assert model.counts == (81, 3, 4)
    assert model.landmarks[45] == SIDE - 1
    assert np.linalg.norm(model.mean[0] - model.mean[SIDE - 1]) > 70  # centimeters became millimeters
    # Quads became pairs; the four quads of the eyelashes are gone.
    assert len(model.triangles) == 2 * (64 - 4)
    flat = model.expression_modes.reshape(4, -1)
    gram = flat @ flat.T
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-5 * gram.max()
    assert np.all(model.coefficient_std == 1)
    assert model.mode_names[:2] == ("identity000", "identity001")
    assert not any("eyeLook" in name for name in model.mode_names)


def test_the_folder_of_shapes_itself_is_accepted(folder):
    assert load_model(folder / "FaceXModel").identity == load_model(folder).identity


def test_expressions_are_spanned_by_their_modes(folder):
    model = read_ict_facekit(folder, progress=False)
    neutral = model.mean.ravel()
    lines = (folder / "FaceXModel/jawOpen.obj").read_text().splitlines()
    jaw = (
        10 * np.array([line.split()[1:] for line in lines if line.startswith("v ")], float).ravel() - neutral
    )
    flat = model.expression_modes.reshape(4, -1).astype(float)
    fitted = np.linalg.lstsq(flat.T, jaw, rcond=None)[0] @ flat
    np.testing.assert_allclose(fitted, jaw, atol=1e-3)


def test_its_own_shapes_are_the_modes_when_asked(folder):
    with pytest.raises(InputError, match="has no ARKit shapes"):
        arkit_shapes(read_ict_facekit(folder, progress=False, blend_shapes=True))
    shapes = folder / "FaceXModel"
    text = (shapes / "jawOpen.obj").read_text()
    for name in {part for whole in ARKIT_NAMES for part in ict_names(whole)}:
        if not (shapes / f"{name}.obj").is_file():
            (shapes / f"{name}.obj").write_text(text)
    model = read_ict_facekit(folder, progress=False, blend_shapes=True)
    names = model.mode_names[3:]
    assert len(names) == 53
    assert {"eyeLookUp_L", "mouthClose", "jawLeft"} <= set(names)
    assert np.allclose(model.coefficient_std[3:], 0.3)
    assert np.all(model.coefficient_std[:3] == 1)
    found = arkit_shapes(model)
    smile = ARKIT_NAMES.index("mouthSmileLeft")
    assert np.array_equal(found[smile], model.expression_modes[names.index("mouthSmile_L")])
    assert not found[ARKIT_NAMES.index("tongueOut")].any()
    lines = (shapes / "mouthSmile_L.obj").read_text().splitlines()
    moved = 10 * np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    assert np.allclose(model.mean + found[smile], moved, atol=1e-3)  # weight 1 is the file


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("identity001.obj", "v 1 2 3\n", "expected 81 vertices"),
        ("identity001.obj", "", "not an OBJ"),
        ("jawOpen.obj", "v a b c\n", "not three numbers"),
        ("jawOpen.obj", "v 1 2 nan\n", "finite"),
        ("generic_neutral_mesh.obj", "v 1 2 3\nf 1 2 3\n", "faces of vertices"),
        ("generic_neutral_mesh.obj", "v 1 2 3\nf 1 x 3\n", "no vertex numbers"),
    ],
)
def test_a_damaged_mesh_is_named(folder, name, content, message):
    (folder / "FaceXModel" / name).write_text(content)
    with pytest.raises(InputError, match=rf"{name}.*{message}"):
        load_model(folder)


def test_missing_pieces_are_named(folder):
    for path in (folder / "FaceXModel").glob("identity*.obj"):
        path.unlink()
    with pytest.raises(InputError, match="0 identity"):
        load_model(folder)
    (folder / "README.md").unlink()
    with pytest.raises(InputError, match=r"README\.md"):
        load_model(folder)


def test_a_face_of_no_known_unit_is_refused(folder):
    readme = (folder / "README.md").read_text().replace(f" {SIDE - 1},", " 0,", 1)
    (folder / "README.md").write_text("68 points\n" + ", ".join(["0"] * 68) if readme else "")
    with pytest.raises(InputError, match="units apart"):
        load_model(folder)


@pytest.mark.slow
def test_the_real_folder(tmp_path):
    if not REAL.exists():
        pytest.skip("ICT-FaceKit (../shared/data/ict_facekit.tar.xz) is not here")
    with tarfile.open(REAL) as archive:
        archive.extractall(tmp_path, filter="data")
    model = read_ict_facekit(tmp_path / "ict_facekit", progress=False)
    assert model.counts == (26719, 40, 10)
    assert tuple(model.landmarks) == LANDMARKS
    flat = model.expression_modes.reshape(10, -1)
    gram = flat @ flat.T
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-5 * gram.max()
    marks = model.mean[model.landmarks]
    assert 80 < np.linalg.norm(marks[36] - marks[45]) < 100  # millimeters
    assert model.mean[model.named_landmarks["ear_left"], 0] < -60
    (tmp_path / "ict_facekit/README.md").unlink()
    assert read_ict_facekit(tmp_path / "ict_facekit", progress=False).identity == model.identity


@pytest.mark.parametrize("name", ["generic_neutral_mesh.obj", "identity000.obj", "jawOpen.obj"])
@pytest.mark.parametrize("number", ["1e38", "-3e38", "1e300", "nan", "1_0", "1" + "0" * 5000])
def test_coordinates_that_are_no_faces(folder, name, number):
    file = folder / "FaceXModel" / name
    file.write_text(file.read_text().replace("v ", f"v {number} 0 0\nv ", 1))
    with pytest.raises(InputError, match=f"{name}: (is not an OBJ file|expected a face's coordinates)"):
        load_model(folder)


def test_the_shapes_are_read_by_the_grammar_of_their_format(folder):
    wanted = load_model(folder).identity
    for file in (folder / "FaceXModel").glob("*.obj"):
        text = file.read_text().replace("# miniature", "# C:\\made\\")
        file.write_bytes(b"\xef\xbb\xbf" + text.replace("v ", "v\t", 1).replace("\n", "\r\n").encode())
    assert load_model(folder).identity == wanted
