"""The kept list of a data set's photos: current, outdated, damaged, and how it is written."""

import os
import time
import zipfile

import numpy as np
import pytest
import torch
from twodasl.datasets.photos import listing
from twodasl.datasets.photos.sources import open_photos
from twodasl.errors import InputError

from ..photo_sets import face_points, write_aflw, write_folder, write_picture, write_pts


@pytest.fixture
def photos(tmp_path, photo68):
    write_folder(tmp_path / "data", photo68)
    return tmp_path / "data"


@pytest.fixture
def builds(monkeypatch):
    """How often a list was made."""
    calls = []
    original = listing.build_listing
    monkeypatch.setattr(listing, "build_listing", lambda *args: calls.append(args) or original(*args))
    return calls


def again(root, kind="photos", **more):
    return open_photos(kind, root, cache=root.parent / "cache", progress=False, **more)


def test_a_list_is_made_once(photos, builds):
    first, second = again(photos), again(photos)
    assert len(builds) == 1
    for one, two in zip(first, second, strict=True):
        assert one.keys() == two.keys()
        assert torch.equal(one["image"], two["image"])
        assert torch.equal(one["landmarks"], two["landmarks"])
    assert second.report == first.report
    (file,) = (photos.parent / "cache").iterdir()
    assert file.name.startswith("photos-")
    again(photos, rebuild=True)
    assert len(builds) == 2


def test_a_list_is_made_again_when_files_come_or_go(photos, builds, photo68):
    assert len(again(photos)) == 4
    write_picture(photos / "deep" / "new.jpg", face_points(photo68))
    write_pts(photos / "deep" / "new.pts", face_points(photo68))
    assert len(again(photos)) == 5
    (photos / "a.jpg").unlink()
    assert len(again(photos)) == 4
    (photos / "deep" / "deeper").mkdir()
    assert len(again(photos)) == 4
    assert len(builds) == 4
    again(photos)
    assert len(builds) == 4


def test_a_list_is_made_again_when_annotations_change(tmp_path, photo68, builds):
    root = tmp_path / "data"
    points, _ = write_aflw(root, photo68)
    assert again(root, "aflw").yaw_degrees[0] == pytest.approx(-80)
    np.save(root / "yaw_degrees.npy", np.full(6, 12, np.float32))
    os.utime(root / "yaw_degrees.npy", ns=(time.time_ns(), time.time_ns() + 10**9))
    assert again(root, "aflw").yaw_degrees[0] == pytest.approx(12)
    assert len(builds) == 2
    assert len(points) == 6


def _rewritten(file, **changes):
    with np.load(file) as archive:
        np.savez(file, **{key: archive[key] for key in archive.files} | changes)


def _damage(file, kind):
    content = file.read_bytes()
    if kind == "pipe":
        file.unlink()
        os.mkfifo(file)
    elif kind == "member":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("head.npy", b"no array")
    elif kind == "claim":
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr("more.npy", b"")
            archive.getinfo("points.npy").file_size = 1 << 45
    elif kind in CHANGED:
        _rewritten(file, **CHANGED[kind])
    else:
        damaged = {"cut": content[: len(content) // 2], "empty": b"", "text": b"names\n"}
        file.write_bytes(damaged[kind])


CHANGED = {
    "boxes": {"boxes": np.full((4, 4), np.nan)},
    "points": {"points": np.zeros((4, 68))},
    "types": {"visible": np.zeros((4, 68))},
    "count": {"yaw": np.zeros(3, np.float32)},
    "report": {"report": np.frombuffer(b"[1e999, []]", np.uint8)},
    "nested": {"head": np.frombuffer(b"[" * 100_000, np.uint8)},
}


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "version", "pipe", "member", "claim", *CHANGED])
def test_a_damaged_list_is_made_again(photos, builds, damage, monkeypatch):
    first = again(photos)
    expected = [first[i]["landmarks"] for i in range(4)]
    (file,) = (photos.parent / "cache").iterdir()
    if damage == "version":
        monkeypatch.setattr(listing, "VERSION", 99)
    else:
        _damage(file, damage)
    found = again(photos)
    assert len(builds) == 2
    assert all(torch.equal(found[i]["landmarks"], expected[i]) for i in range(4))


def test_a_list_is_written_whole_or_not_at_all(photos, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", stop)
    with pytest.raises(KeyboardInterrupt):
        again(photos)
    assert list((photos.parent / "cache").iterdir()) == []


def test_two_folders_have_lists_of_their_own(photos, photo68):
    write_folder(photos.parent / "other", photo68)
    again(photos)
    again(photos.parent / "other")
    assert len(list((photos.parent / "cache").iterdir())) == 2


def test_a_cache_that_cannot_be_written_is_an_error_before_the_work(photos, builds):
    (photos.parent / "cache").write_text("a file")
    sentence = r"cannot be written \(.*\); the list of photos is kept there; set TWODASL_CACHE to a folder"
    with pytest.raises(InputError, match=sentence):
        again(photos)
    assert not builds


def test_a_cache_among_the_photos_is_refused(photos, builds):
    for folder in (photos, photos / "deep" / "..", photos / "deep"):
        with pytest.raises(InputError, match="is a folder of the data set's photos"):
            open_photos("photos", photos, cache=folder, progress=False)
    assert not builds
    for _ in range(2):  # a hidden one is not among them
        open_photos("photos", photos, cache=photos / ".lists", progress=False)
    assert len(builds) == 1


@pytest.mark.skipif(os.name != "posix", reason="file names that are no text")
def test_a_name_that_is_no_text(photos):
    for suffix in (b".jpg", b".pts"):
        os.rename(os.fsencode(photos / "a") + suffix, os.fsencode(photos) + b"/\xff" + suffix)
    (photos / "b.npy").rename(os.fsdecode(os.fsencode(photos) + b"/\xfe.npy"))
    (photos / "b.jpg").rename(os.fsdecode(os.fsencode(photos) + b"/\xfd.jpg"))
    for _ in range(2):  # made, then read from the kept list
        found = again(photos)
        assert os.fsencode(found.name(2)) == b"\xff.jpg"
        assert found[2]["landmarks"].shape == (68, 2)
        assert "(\\udcfd.jpg)" in "\n".join(found.report.lines())


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs folders without permission")
def test_a_folder_that_cannot_be_read_is_an_error(photos):
    (photos / "deep").chmod(0)
    try:
        with pytest.raises(InputError, match="deep: the folder cannot be read"):
            again(photos)
    finally:
        (photos / "deep").chmod(0o755)


def test_the_default_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TWODASL_CACHE", str(tmp_path / "own"))
    assert listing.default_cache() == tmp_path / "own"
    monkeypatch.delenv("TWODASL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert listing.default_cache() == tmp_path / "xdg" / "twodasl"


def test_a_photo_that_vanished_after_the_list_was_made(photos):
    found = again(photos)
    (photos / "a.jpg").unlink()
    with pytest.raises(InputError, match=r"a.jpg: cannot be read .No such file.*list it again"):
        found[0]
