"""The page of a head: what is in it, that it was built from its sources, and what a browser makes of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest
from twodasl.reconstruction.reconstructor import FaceReconstructor
from twodasl.reconstruction.results import write_results
from twodasl.reconstruction.viewer import viewer_page

from ..glb_files import Glb
from ..outside import ROOT, browser_needed, glb_reports, seen_in_browser, validator_needed

SOURCES = ROOT / "python/viewer"


@pytest.fixture(scope="module")
def made(ball_checkpoint, photo_path, photo68, tmp_path_factory):
    """A photo's page, with its GLB file beside it; and the reconstruction."""
    folder = tmp_path_factory.mktemp("page")
    image = cv2.imread(str(photo_path))
    reconstructor = FaceReconstructor(ball_checkpoint)
    face = reconstructor(image, photo68)
    paths = write_results(folder, "an </script> é", image, reconstructor, face, formats=["glb", "html"])
    assert [path.suffix for path in paths] == [".glb", ".html"]
    return paths[1], face


@pytest.fixture(scope="module")
def page(made) -> Path:
    return made[0]


@pytest.fixture(scope="module")
def seen(page, tmp_path_factory):
    """What a browser sees of the page."""
    driver, program = browser_needed()
    picture = tmp_path_factory.mktemp("picture") / "page.png"
    report = seen_in_browser(page, picture, driver, program)
    assert cv2.imread(str(picture)).shape == (900, 1280, 3)
    return report


def face_of(text: str) -> dict:
    (found,) = re.findall(r'<script id="face" type="application/json">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def test_the_page_has_the_head_and_the_photo(made, photo_path):
    page, reconstruction = made
    face = face_of(page.read_text(encoding="utf-8"))
    assert face["title"] == "an </script> é"
    assert base64.b64decode(face["glb"]) == page.with_suffix(".glb").read_bytes()
    photo = face["photo"]
    kind, content = photo["url"].split(",")
    assert kind == "data:image/jpeg;base64"
    part = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)
    assert part.shape == (photo["height"], photo["width"], 3)
    # What surrounds a landmark in the part surrounds it in the photo.
    points, marks = np.array(photo["points"]), reconstruction.landmarks[:, :2]
    shift = np.rint(points[30] - marks[30])
    np.testing.assert_allclose(points - shift, marks, atol=0.01)
    image = cv2.imread(str(photo_path))
    column, row = np.rint(-shift).astype(int)
    same = image[row : row + part.shape[0], column : column + part.shape[1]]
    assert np.abs(same.astype(int) - part).mean() < 4  # JPEG


def test_large_photos_are_reduced():
    image = np.zeros((3000, 4000, 3), np.uint8)
    image[1450:1552, 1950:2052] = 255
    points = np.tile([2000.5, 1500.5], (68, 1))
    text = viewer_page(b"glb", "a", "b", (0, 1), (image, points, (1000.0, 500.0, 3000.0, 2500.0)))
    photo = face_of(text)["photo"]
    assert max(photo["width"], photo["height"]) == 900
    x, row = photo["points"][0]
    content = base64.b64decode(photo["url"].split(",")[1])
    part = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE) > 127
    rows, columns = np.indices(part.shape)
    np.testing.assert_allclose([(part * columns).sum(), (part * rows).sum()] / part.sum(), [x, row], atol=0.3)


def test_the_built_page_is_that_of_its_sources():
    """`npm ci && npm run build` in python/viewer."""
    script = (SOURCES / "build.mjs").read_text(encoding="utf-8")
    names = re.findall(r'"([\w.-]+)"', script[script.index("SOURCES = [") : script.index("];")])
    there = {path.name for path in SOURCES.iterdir() if path.is_file()} - {"package.json"}
    assert set(names) == there
    digest = hashlib.sha256()
    for name in names:
        digest.update((SOURCES / name).read_bytes())
    built = (files("twodasl") / "resources/viewer.html").read_text(encoding="utf-8")
    assert f"SHA-256 of its sources: {digest.hexdigest()}" in built, "run npm ci && npm run build there"
    assert len(built) < 800_000
    locked = json.loads((SOURCES / "package-lock.json").read_text(encoding="utf-8"))
    asked = json.loads((SOURCES / "package.json").read_text(encoding="utf-8"))
    assert locked["packages"][""]["devDependencies"] == asked["devDependencies"]


def test_the_license_of_three_is_in_the_page(page):
    text = page.read_text(encoding="utf-8")
    assert "The MIT License" in text
    assert "three.js authors" in text


def test_the_page_loads_nothing(page):
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"(src|href)\s*=", markup)


def test_a_browser_shows_it(page, seen):
    assert seen["ready"] == "yes", seen["trouble"]
    assert seen["errors"] == []
    # The page itself, and what it makes of its own content.
    assert [url for url in seen["requests"] if not url.startswith(("data:", "blob:"))] == [page.as_uri()]
    assert seen["title"] == "an </script> é"
    assert seen["landmarks"] == 68
    assert seen["node"] == "face"  # as docs/avatars.md says
    assert seen["groups"] == ["Expression", "Head"]
    glb = Glb(page.with_suffix(".glb").read_bytes())
    fitted, neutral, moved = seen["fitted"], seen["neutral"], seen["moved"]
    assert fitted["names"] == glb.names
    np.testing.assert_allclose(fitted["weights"], list(glb.weights.values()), atol=0.006)  # a slider's step
    np.testing.assert_allclose(fitted["turn"], glb.node("head")["rotation"], atol=0.006)
    assert not any(neutral["weights"])
    np.testing.assert_allclose(neutral["turn"], [0, 0, 0, 1], atol=1e-6)
    assert moved["weights"] == [3]
    names = ("first", "neutral_pixels", "moved_pixels", "photo", "clay", "lit", "wires")
    pictures = {name: np.array(seen[name]).reshape(64, 64, 4) for name in names}
    for name, picture in pictures.items():
        covered = (picture[..., 3] > 0).mean()
        assert 0.1 < covered < 0.8, name
    for one, other in (("moved_pixels", "neutral_pixels"), ("photo", "clay"), ("lit", "wires")):
        assert np.abs(pictures[one] - pictures[other]).mean() > 0.2, (one, other)
    np.testing.assert_array_equal(pictures["lit"], pictures["moved_pixels"])
    clay = pictures["clay"][pictures["clay"][..., 3] == 255]
    assert np.ptp(clay[:, :3].mean(0)) < 30  # gray
    # What it saves is the head as it is on the screen.
    assert seen["file"].endswith(".glb")
    saved = Glb(base64.b64decode(seen["saved"]))
    assert saved.weights == {glb.names[0]: 3}
    np.testing.assert_array_equal(saved.attribute("POSITION"), glb.attribute("POSITION"))


def test_a_saved_head_is_a_valid_file(seen, tmp_path):
    validator = validator_needed()
    (tmp_path / "saved.glb").write_bytes(base64.b64decode(seen["saved"]))
    (report,) = glb_reports([tmp_path / "saved.glb"], validator).values()
    assert (report["numErrors"], report["numWarnings"]) == (0, 0), report["messages"]
