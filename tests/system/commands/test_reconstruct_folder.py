"""`twodasl reconstruct` of many photos: order, errors in the middle, and that none depends on the others."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from twodasl.cli import main
from twodasl.reconstruction.reconstructor import FaceReconstructor


@pytest.fixture
def folder(photo_path, photo68, tmp_path):
    """Ten photos of different brightness, the third damaged, the sixth without landmarks; their landmarks."""
    image = cv2.resize(cv2.imread(str(photo_path)), None, fx=0.5, fy=0.5)
    photos = []
    for index in range(10):
        photos.append(tmp_path / f"{index}.png")
        cv2.imwrite(str(photos[-1]), np.clip(image * (0.5 + 0.05 * index), 0, 255).astype(np.uint8))
        if index != 5:
            np.save(tmp_path / f"{index}.npy", (photo68 + 0.5) / 2 - 0.5 + 0.3 * index)
    photos[2].write_bytes(photos[2].read_bytes()[:500])
    return photos


def _run(photos, checkpoint, output, *more):
    words = ["reconstruct", *map(str, photos), "-c", str(checkpoint), "-l", str(photos[0].parent)]
    return main([*words, "--no-pictures", "-o", str(output), *more])


def test_lines_come_in_the_order_of_the_photos_and_errors_stop_nothing(
    folder, ball_checkpoint, tmp_path, capsys
):
    output = tmp_path / "out"
    threads = torch.get_num_threads()
    assert _run(folder, ball_checkpoint, output) == 2
    out, err = capsys.readouterr()
    good = [photo for index, photo in enumerate(folder) if index not in (2, 5)]
    assert [line.split(":")[0] for line in out.splitlines()] == [str(photo) for photo in good]
    damaged, unmarked, summary = err.splitlines()
    assert damaged.startswith(f"twodasl: error: {folder[2]}: the image is damaged")
    assert unmarked.startswith(f"twodasl: error: {folder[5]}: no landmarks for it")
    assert summary.startswith("twodasl: error: 2 of 10 photos could not be reconstructed")
    expected = {f"{photo.stem}.{suffix}" for photo in good for suffix in ("obj", "ply", "json")}
    assert {path.name for path in output.iterdir()} == expected
    assert torch.get_num_threads() == threads


def test_files_do_not_depend_on_the_other_photos(folder, lively_checkpoint, tmp_path, capsys):
    good = [photo for index, photo in enumerate(folder) if index not in (2, 5)]
    assert _run(good, lively_checkpoint, tmp_path / "all") == 0
    assert _run(good[::-1][:3], lively_checkpoint, tmp_path / "some") == 0
    written = list((tmp_path / "some").iterdir())
    assert len(written) == 9
    for path in written:
        assert path.read_bytes() == (tmp_path / "all" / path.name).read_bytes(), path.name


def test_a_folder_gives_what_single_photos_give(folder, ball_checkpoint, tmp_path, capsys):
    assert _run(folder[:2], ball_checkpoint, tmp_path / "two") == 0
    for photo in folder[:2]:
        assert _run([photo], ball_checkpoint, tmp_path / "one") == 0
        two, one = (
            np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
            for lines in (
                (tmp_path / name / f"{photo.stem}.obj").read_text().splitlines() for name in ("two", "one")
            )
        )
        np.testing.assert_allclose(two[:, :3], one[:, :3], atol=0.02)  # pixels
        np.testing.assert_allclose(two[:, 3:], one[:, 3:], atol=1.1 / 255)


def test_an_answer_that_is_no_face_is_one_photos_error(
    folder, ball_checkpoint, tmp_path, capsys, monkeypatch
):
    from twodasl.errors import InputError

    usual = FaceReconstructor.reconstruct

    def refusing(self, faces, **more):
        if any(face.image.mean() == dark.mean() for face in faces):
            raise InputError("net.pt: its network's answer is no face")
        return usual(self, faces, **more)

    dark = cv2.imread(str(folder[1]))
    monkeypatch.setattr(FaceReconstructor, "reconstruct", refusing)
    assert _run([folder[0], folder[1], folder[3]], ball_checkpoint, tmp_path / "out") == 2
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in out.splitlines()] == [str(folder[0]), str(folder[3])]
    assert err.splitlines()[0] == f"twodasl: error: {folder[1]}: net.pt: its network's answer is no face"


def test_an_interrupt_leaves_whole_files_only(folder, ball_checkpoint, tmp_path, capsys, monkeypatch):
    from twodasl.commands import photo_flow

    usual, seen = photo_flow._report, []

    def interrupted(photo):
        usual(photo)
        seen.append(photo)
        raise KeyboardInterrupt

    monkeypatch.setattr(photo_flow, "_report", interrupted)
    good = [photo for index, photo in enumerate(folder) if index not in (2, 5)]
    assert _run(good, ball_checkpoint, tmp_path / "out") == 130
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(seen) == 1
    assert not [name for name in names if name.startswith(".")]
    assert all(
        names.count(f"{name.split('.')[0]}.{suffix}") == 1 for name in names for suffix in ("obj", "ply")
    )
