"""`twodasl export`: files that other runtimes compute, against the network and the face model's operators."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from twodasl.cli import main
from twodasl.geometry.projection import crop_landmarks, crop_vertices
from twodasl.landmarks import landmark_map
from twodasl.reconstruction import exporting
from twodasl.reconstruction.face_network import FaceNetwork


@pytest.fixture(scope="module")
def faces(lively_checkpoint):
    """Four crops, BGR, with landmarks but for the first; the inputs of an export, and what twodasl says."""
    network = FaceNetwork(lively_checkpoint, None, torch.device("cpu"), once=True)
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (4, 120, 120, 3)).astype(np.uint8))
    marks = torch.from_numpy(rng.uniform(20, 100, (4, 18, 2)).astype(np.float32))
    marks[0] = torch.nan
    with torch.inference_mode():
        said = network.crops(images, marks)
        expected = {
            "parameters": said.parameters,
            "landmarks": crop_landmarks(network.basis, said.parameters),
            "vertices": crop_vertices(network.basis, said.parameters),
        }
        if network.has_points:
            expected |= {"points": said.points, "sigma": said.sigma}
    return images.permute(0, 3, 1, 2).float(), landmark_map(marks), expected, network.model


def _check(found, expected, rows):
    for name, values in found.items():
        there = expected[name][rows].numpy()
        np.testing.assert_allclose(values, there, atol=1e-4 * max(1.0, np.abs(there).max()), err_msg=name)


def test_onnxruntime_computes_the_same_for_any_batch(faces, lively_checkpoint, tmp_path, capsys):
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    import onnxruntime

    images, maps, expected, model = faces
    path = tmp_path / "face.onnx"
    assert main(["export", "onnx", "-c", str(lively_checkpoint), "-o", str(path), "--vertices"]) == 0
    printed = capsys.readouterr().out
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    assert facts["face_model_identity"] == model.identity
    names = facts["outputs"].split()
    assert {"parameters", "landmarks", "vertices"} <= set(names)
    assert all(f"{key}: {value}\n" in printed for key, value in facts.items())
    for rows in (slice(0, 1), slice(0, 4)):
        given = {"image": images[rows].numpy(), "landmark_map": maps[rows].numpy()}
        _check(dict(zip(names, session.run(names, given), strict=True)), expected, rows)


def test_a_package_of_torch_computes_the_same(faces, lively_checkpoint, tmp_path, capsys):
    images, maps, expected, model = faces
    path = tmp_path / "face.pt2"
    assert main(["export", "torch", "-c", str(lively_checkpoint), "-o", str(path), "--vertices"]) == 0
    extra = {exporting.METADATA_FILE: ""}
    package = torch.export.load(path, extra_files=extra).module()
    facts = json.loads(extra[exporting.METADATA_FILE])
    assert facts["face_model_identity"] == model.identity
    for rows in (slice(0, 1), slice(0, 4)):
        with torch.no_grad():
            found = package(images[rows], maps[rows])
        names = facts["outputs"].split()
        _check({name: values.numpy() for name, values in zip(names, found, strict=True)}, expected, rows)


def test_a_file_that_computes_something_else_does_not_land(lively_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "TOLERANCE", -1.0)
    path = tmp_path / "face.pt2"
    path.write_bytes(b"before")
    network = FaceNetwork(lively_checkpoint, None, torch.device("cpu"), once=True)
    with pytest.raises(RuntimeError, match="differ from torch's"):
        exporting.export_torch(network, path)
    assert [file.name for file in tmp_path.iterdir()] == ["face.pt2"]
    assert path.read_bytes() == b"before"


def test_the_extra_is_named_where_it_is_missing(lively_checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    path = tmp_path / "face.onnx"
    assert main(["export", "onnx", "-c", str(lively_checkpoint), "-o", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("twodasl: error: export onnx: needs onnx and onnxscript; pip install")
    assert "[onnx]" in error
    assert not path.exists()


@pytest.mark.parametrize("action", ["onnx", "torch"])
def test_names_that_no_export_can_have(action, lively_checkpoint, tmp_path, capsys):
    words = ["export", action, "-c", str(lively_checkpoint), "-o"]
    assert main([*words, str(tmp_path / "face.bin")]) == 2
    assert "expected a name ending in" in capsys.readouterr().err
    folder = tmp_path / f"face.{'onnx' if action == 'onnx' else 'pt2'}"
    folder.mkdir()
    assert main([*words, str(folder)]) == 2
    assert "is a folder" in capsys.readouterr().err
