"""What judges GLB files and pages from outside: the Khronos Group's validator, and a browser.

Both are optional, and a test that needs one skips without it. The validator and what drives the browser are
npm packages of python/viewer: `npm ci` there, or in another folder named by TWODASL_NODE_MODULES. The browser
is Chromium or Chrome on the path, or the program named by TWODASL_BROWSER.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = Path(os.environ.get("TWODASL_NODE_MODULES", ROOT / "python/viewer/node_modules"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Without a GPU, and without calls home.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--hide-scrollbars",
]  # fmt: skip

VALIDATE = """
const validator = require(process.argv[1]);
const read = (file) => new Uint8Array(require("fs").readFileSync(file));
const judge = (file) => validator.validateBytes(read(file), { maxIssues: 5 }).then((report) => report.issues);
Promise.all(process.argv.slice(2).map(judge)).then((all) => console.log(JSON.stringify(all)));
"""


def package(name: str) -> Path | None:
    """The folder of an npm package, where node and it are there."""
    folder = MODULES / name
    return folder if folder.is_dir() and shutil.which("node") else None


def browser() -> str | None:
    """The browser's program."""
    named = os.environ.get("TWODASL_BROWSER")
    return named or next((found for name in BROWSERS if (found := shutil.which(name))), None)


def validator_needed() -> Path:
    """The validator's folder; skips the test where it is not there."""
    found = package("gltf-validator")
    if found is None:
        pytest.skip("needs node and gltf-validator: npm ci in python/viewer, or TWODASL_NODE_MODULES")
    return found


def glb_reports(paths: Sequence[Path], validator: Path) -> dict[Path, dict[str, Any]]:
    """The validator's counts and messages for each file."""
    words = ["node", "-e", VALIDATE, str(validator), *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return dict(zip(paths, json.loads(done.stdout), strict=True))


def browser_needed() -> tuple[Path, str]:
    """The folder of what drives the browser, and its program; skips the test where one is not there."""
    driver, program = package("playwright-core"), browser()
    if driver is None or program is None:
        pytest.skip(
            "needs Chromium, node and playwright-core: npm ci in python/viewer, or TWODASL_NODE_MODULES and"
            " TWODASL_BROWSER"
        )
    return driver, program


def seen_in_browser(page: Path, picture: Path, driver: Path, program: str) -> dict[str, Any]:
    """What page.mjs reports of a page; it also takes a picture of it."""
    script = Path(__file__).with_name("page.mjs")
    words = ["node", str(script), str(driver), program, str(page), str(picture), *FLAGS]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
