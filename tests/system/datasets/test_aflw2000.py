"""Reading AFLW2000-3D: both layouts on made-up folders, and the real development folder where present."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat
from twodasl.datasets.benchmarks import aflw2000
from twodasl.datasets.benchmarks.aflw2000 import read_aflw2000
from twodasl.errors import InputError
from twodasl.evaluation import normalized_mean_error, summarize

DEVELOPMENT = Path(__file__).resolve().parents[4] / "shared" / "data" / "aflw2000_dev"
needs_data = pytest.mark.skipif(not DEVELOPMENT.is_dir(), reason="needs ../shared/data/aflw2000_dev")

COUNT = 5
RNG = np.random.default_rng(0)
POINTS = RNG.uniform(40, 160, (COUNT, 3, 68)).astype(np.float32)
AGAIN = POINTS[:, :2] + 2
YAW = np.array([-20.0, 45, 5, -80, 92], np.float32)
NAMES = [f"image{number:05d}.jpg" for number in (2, 4, 40, 300, 4375)]
BOXES = np.array([[10, 20, 130, 140]] * COUNT, np.float32) + np.arange(COUNT, dtype=np.float32)[:, None]
DETECTED = RNG.uniform(5, 110, (COUNT, 68, 2)).astype(np.float32)


def write_original(folder: Path) -> Path:
    folder.mkdir()
    for name, points, yaw in zip(NAMES, POINTS, YAW, strict=True):
        pose = np.array([[0.1, np.radians(yaw), 0.2, 100, 90, -5, 1e-3]])
        savemat(folder / name.replace(".jpg", ".mat"), {"pt3d_68": points, "Pose_Para": pose})
        cv2.imwrite(str(folder / name), np.full((200, 220, 3), 90, np.uint8))
    return folder


def write_development(folder: Path) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "names.txt").write_text("\n".join(NAMES) + "\n")
    for name, array in {
        "pts68": POINTS, "pts68_reannotated": AGAIN, "yaw_degrees": YAW, "roi_box": BOXES,
        "detected68_crop120": DETECTED,
    }.items():  # fmt: skip
        np.save(folder / f"{name}.npy", array)
    for name in NAMES:
        cv2.imwrite(str(folder / "images" / name), np.full((200, 220, 3), 90, np.uint8))
    return folder


@pytest.fixture
def original(tmp_path):
    return write_original(tmp_path / "AFLW2000")


@pytest.fixture
def development(tmp_path):
    return write_development(tmp_path / "dev")


def test_the_data_sets_own_layout(original):
    data = read_aflw2000(original)
    assert data.names == tuple(NAMES)
    np.testing.assert_array_equal(data.truth, POINTS[:, :2].transpose(0, 2, 1))
    np.testing.assert_allclose(data.yaw_degrees, YAW, rtol=1e-6)
    assert "pt3d_68" in data.truth_source
    assert "Pose_Para" in data.yaw_source
    assert data.detected is None
    assert data.dropped == ()
    assert data.read_image(4).shape == (200, 220, 3)
    # Without boxes of its own the crop is 3DDFA's: sqrt(2) times the landmarks' longer side.
    low, high = data.truth[0].min(0), data.truth[0].max(0)
    assert data.crop(0).scale[0] * 120 == pytest.approx(np.sqrt(2) * (high - low).max())


def test_the_development_layout_gives_the_same_and_more(original, development):
    data, same = read_aflw2000(development), read_aflw2000(original)
    np.testing.assert_array_equal(data.truth, same.truth)
    np.testing.assert_allclose(data.yaw_degrees, same.yaw_degrees, rtol=1e-6)
    assert data.detected is not None
    # The boxes are 120 wide: a crop pixel is an image pixel.
    np.testing.assert_allclose(data.detected, DETECTED + BOXES[:, None, :2], rtol=1e-6)
    assert data.read_image(0).dtype == np.uint8
    assert [path.is_file() for path in data.images] == [True] * COUNT


def test_ground_truths(original, development, tmp_path):
    again = AGAIN.transpose(0, 2, 1)
    data = read_aflw2000(development, "reannotated")
    np.testing.assert_array_equal(data.truth, again)
    assert data.truth_source == "re-annotated (pts68_reannotated.npy)"
    with pytest.raises(InputError, match="has no re-annotated landmarks"):
        read_aflw2000(original, "reannotated")
    np.save(tmp_path / "own.npy", again)
    np.testing.assert_array_equal(read_aflw2000(original, str(tmp_path / "own.npy")).truth, again)
    np.save(original / "AFLW2000-3D-Reannotated.pts68.npy", AGAIN)
    data = read_aflw2000(original, "reannotated")
    np.testing.assert_array_equal(data.truth, again)
    assert "AFLW2000-3D-Reannotated.pts68.npy" in data.truth_source


def test_undetected_images_of_the_whole_set_are_left_out(development, monkeypatch):
    monkeypatch.setattr(aflw2000, "WHOLE", COUNT)
    monkeypatch.setattr(aflw2000, "UNDETECTED", (2, 5))
    data = read_aflw2000(development)
    assert data.names == (NAMES[0], NAMES[2], NAMES[3])
    assert data.dropped == (NAMES[1], NAMES[4])
    assert data.rows.tolist() == [0, 2, 3]
    assert data.total == COUNT
    np.testing.assert_array_equal(data.yaw_degrees, YAW[[0, 2, 3]])
    np.testing.assert_array_equal(data.boxes, BOXES[[0, 2, 3]])
    assert data.detected is not None
    np.testing.assert_allclose(data.detected[1], DETECTED[2] + BOXES[2, :2], rtol=1e-6)
    assert [path.name for path in data.images] == list(data.names)
    everything = read_aflw2000(development, keep_undetected=True)
    assert len(everything) == COUNT
    assert everything.dropped == ()


def test_a_part_of_the_set_is_read_whole(development):
    assert aflw2000.WHOLE == 2000
    assert aflw2000.UNDETECTED == (1082, 1799)
    assert len(read_aflw2000(development)) == COUNT


def remove(name):
    return lambda folder: (folder / name).unlink()


def save(name, array):
    return lambda folder: np.save(folder / name, array)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove("pts68.npy"), r"pts68\.npy: cannot be read"),
        (remove("yaw_degrees.npy"), r"yaw_degrees\.npy: cannot be read"),
        (save("pts68.npy", POINTS[:4]), r"pts68\.npy: expected one row for each of 5 images, got 4"),
        (save("pts68.npy", POINTS[:, :, :67]), r"pts68\.npy: expected 68 points per image"),
        (save("pts68.npy", POINTS * np.nan), r"pts68\.npy: expected finite coordinates"),
        (save("yaw_degrees.npy", YAW[:4]), r"yaw_degrees\.npy: expected shape \(5,\)"),
        (save("yaw_degrees.npy", YAW * np.inf), r"yaw_degrees\.npy: expected finite"),
        (save("roi_box.npy", BOXES[:, ::-1]), r"roi_box\.npy: expected boxes"),
        (save("detected68_crop120.npy", DETECTED[:2]), r"detected68_crop120\.npy: expected one row for each"),
        (lambda folder: (folder / "names.txt").write_text(""), r"names\.txt: .* empty"),
        (
            lambda folder: (folder / "names.txt").write_bytes(b"\xff\xfe\x00"),
            r"names\.txt: is text in UTF-16",
        ),
        (
            lambda folder: (folder / "names.txt").write_text("../a.jpg"),
            r"names\.txt: lists .* leads out of the",
        ),
    ],
)
def test_a_broken_development_folder_is_named(development, change, message):
    change(development)
    with pytest.raises(InputError, match=message):
        read_aflw2000(development)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a MATLAB file"),
        (b"not a matlab file" * 20, "expected a MATLAB file"),
        ({"pt3d_68": POINTS[0]}, "has no variable Pose_Para"),
        (
            {"pt3d_68": POINTS[0, :, :67], "Pose_Para": np.zeros((1, 7))},
            r"expected pt3d_68 \(3, 68\) of numbers, got \(3, 67\)",
        ),
        ({"pt3d_68": POINTS[0] * np.nan, "Pose_Para": np.zeros((1, 7))}, "holds NaN or infinity"),
    ],
)
def test_a_broken_annotation_is_named(original, content, message):
    file = original / "image00040.mat"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        savemat(file, content)
    with pytest.raises(InputError, match=message) as caught:
        read_aflw2000(original)
    assert str(file) in str(caught.value)


def test_folders_that_are_none_and_images_that_are_none(tmp_path, development):
    with pytest.raises(InputError, match="no such folder"):
        read_aflw2000(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="found neither"):
        read_aflw2000(tmp_path / "empty")
    data = read_aflw2000(development)
    data.images[1].write_bytes(b"no image")
    data.images[2].write_bytes(b"")
    data.images[3].unlink()
    for index, message in ((1, "is not an image"), (2, "is empty"), (3, "cannot be read")):
        with pytest.raises(InputError, match=message):
            data.read_image(index)


@needs_data
def test_the_development_folder_agrees_with_the_data_sets_own_files():
    arrays, files = read_aflw2000(DEVELOPMENT), read_aflw2000(DEVELOPMENT / "images")
    assert arrays.names == files.names
    np.testing.assert_array_equal(arrays.truth, files.truth)
    # radians to degrees in float32 and in float64
    np.testing.assert_allclose(arrays.yaw_degrees, files.yaw_degrees, atol=1e-5)
    # Boxes of the field are the same rule, rounded, and cut off at the border of some images.
    assert np.median(np.abs(arrays.boxes - files.boxes)) < 0.5


@needs_data
def test_detected_landmarks_have_their_known_error():
    data = read_aflw2000(DEVELOPMENT)
    assert data.detected is not None
    summary = summarize(normalized_mean_error(data.detected, data.truth), data.yaw_degrees)
    found = (*summary.bins, summary.bin_mean, summary.image_mean)
    # Computed independently of this code; the tolerance is half a unit of the last digit and float32 inputs.
    assert found == pytest.approx((3.3340, 5.1200, 8.1578, 5.5373, 4.4134), abs=1e-4)
    assert summary.counts == (262, 77, 61)
