"""Every block of the README and of docs/ runs, with small stand-ins for data; doc_blocks.py has the marks.

Python: the blocks of a page share one namespace, in order; one with `if __name__ == "__main__":` is a script.
Shell: `twodasl` is run, but `demo` and `train` take minutes: they are read by their parsers, and train's
configuration is made. So are benchmarks. Of everything else files, extras and options must exist.
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from twodasl import cli
from twodasl.meshes.write import write_ply

from ..clips import face_patch, frame_with, write_clip
from ..datasets.test_aflw2000 import COUNT, write_development
from ..photo_sets import write_aflw, write_pts
from .doc_blocks import PAGES, ROOT, commands, read_blocks, split_page

BLOCKS = [block for page in PAGES for block in read_blocks(page)]
SHELL = ("sh", "bash")
pytestmark = pytest.mark.usefixtures("small_pictures")
SMALLER = {
    "synthetic-faces.md": {"10_000": "18", "range(64)": "range(4)"},
    "training.md": {
        '"data.faces=4000"': '"data.faces=16", "data.photos=16", "data.workers=1", "batch=4",'
        ' "photo_batch=4", "network.encoder_widths=[2, 2, 2, 2, 2, 4]", "network.precision=float32",'
        ' "time_limit=0", "stage2.steps=1", "stage1.warmup=0", "stage2.warmup=0"',
        "stage1.steps=500": "stage1.steps=1",
    },
}
"""What scripts that take minutes are made smaller by."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory, photo68, photo_path, ball_model, ball_checkpoint) -> Path:
    """A folder with the files that the pages speak of."""
    folder = tmp_path_factory.mktemp("desk")
    for name in ("photo.jpg", "other.jpg"):
        shutil.copy(photo_path, folder / name)
    write_pts(folder / "photo.pts", photo68)
    write_clip(folder / "clip.mp4", [frame_with((face_patch(photo_path), 60 + 5 * i, 50)) for i in range(3)])
    (folder / "demo-output").mkdir()
    shutil.copy(ball_checkpoint, folder / "demo-output" / "checkpoint.pt")
    ball_model.save(folder / "my_model.npz")
    write_aflw(folder / "data" / "aflw", photo68)
    for name in ("truth", "predicted"):
        for i in range(4):
            (folder / name).mkdir(exist_ok=True)
            write_ply(
                folder / name / f"face{i:02}.ply", ball_model.mean * (1 + i / 100), ball_model.triangles
            )

    write_ply(folder / "scan.ply", ball_model.mean, ball_model.triangles)
    marks = [f"{i},{','.join(map(str, ball_model.mean[ball_model.landmarks[i]]))}" for i in (8, 30, 36, 45)]
    (folder / "marks.csv").write_text("\n".join(marks))
    root = write_development(folder / "aflw2000_dev")
    rng = np.random.default_rng(0)
    np.save(root / "reference_params62_whitened.npy", rng.normal(size=(COUNT, 62)).astype(np.float32))
    (folder / "bfm_landmarks").mkdir()
    for name, columns in (("u_base", 1), ("w_shp_base", 40), ("w_exp_base", 10)):
        np.savetxt(folder / "bfm_landmarks" / f"{name}.txt", rng.normal(size=(204, columns)))
    raw = np.concatenate([np.eye(3, 4).ravel(), np.zeros(50)]).astype(np.float32)
    write_whitening(folder / "bfm_landmarks" / "param_whitening.pkl", raw)
    for name in ("first", "second"):
        evaluate = ["evaluate", "aflw2000", "--root", str(root), "--checkpoint", str(ball_checkpoint)]
        assert cli.main([*evaluate, "--json", str(folder / name / "report.json")]) == 0
    return folder


def write_whitening(file: Path, mean: np.ndarray) -> None:
    file.write_bytes(pickle.dumps({"param_mean": mean, "param_std": np.ones_like(mean)}, protocol=3))


@pytest.fixture
def at_desk(desk, monkeypatch) -> Path:
    monkeypatch.chdir(desk)
    return desk


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.where)
def test_languages_are_known(block):
    known = ("python", *SHELL, "toml", "text", "js")
    assert block.language in known, f"{block.where}: name the block's language"
    assert block.language != "text" or block.mark == "not run", f"{block.where}: say why it is not run"


def stand_ins(page: str, model) -> dict[str, object]:
    """What the reader of a page has already."""
    if page != "registration.md":
        return {}
    mean = torch.from_numpy(model.mean)
    marks = torch.from_numpy(model.landmarks)
    return {
        "source": mean,
        "target": mean * 1.01 + 2,
        "landmarks": marks,
        "target_landmarks": marks,
        "prediction": mean.clone().requires_grad_(),
        "scan": mean + 1,
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run(page, at_desk, ball_model):
    blocks = [block for block in BLOCKS if block.page == page.name and block.language == "python"]
    names = {"__name__": "docs", **stand_ins(page.name, ball_model)}
    for block in blocks:
        # Line numbers as on the page.
        code = compile("\n" * block.line + block.text, page.name, "exec")
        if block.mark:
            continue
        if "__main__" in block.text:
            run_script(page.name, block.text, at_desk)
        else:
            exec(code, names)


def run_script(page: str, text: str, folder: Path) -> None:
    for large, small in SMALLER[page].items():
        assert large in text, f"{page}: {large} is gone; make its script smaller in another way"
        text = text.replace(large, small)
    script = folder / "script.py"
    script.write_text(text)
    done = subprocess.run([sys.executable, script], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language in SHELL], ids=lambda block: block.where
)
def test_shell_blocks_run(block, at_desk, monkeypatch, capsys):
    words = commands(block.text)
    assert words, f"{block.where}: no command"
    for command in words if block.mark != "not run" else ():
        given = [word.replace(":/data/", ":data/").removeprefix("/") for word in command]
        check_command(given, block.mark == "read only", monkeypatch, capsys)


def check_command(words: list[str], read_only: bool, monkeypatch, capsys) -> None:
    """Run a command, or let its own parser read it."""
    program, *rest = words
    if program == "torchrun":
        from torch.distributed.run import get_args_parser

        options = get_args_parser().parse_args(rest)
        assert options.module
        words, read_only = ["python", "-m", options.training_script, *options.training_script_args], True
        program, *rest = words
    if program == "python":
        assert rest[0] == "-m"
        program, *rest = rest[1:]
    if program == "twodasl":
        run_twodasl(rest, read_only, capsys)
    elif program.startswith("benchmarks."):
        read_benchmark(program, rest, monkeypatch)
    elif program == "pip":
        check_pip(rest)
    elif program == "pytest":
        for path in (word for word in rest if "/" in word or word == "benchmarks"):
            assert (ROOT / path).exists(), path
    elif program == "cmake":
        lists = (ROOT / "CMakeLists.txt").read_text()
        for option in re.findall(r"-D(\w+)=", " ".join(rest)):
            assert option in lists, option
    elif program.startswith("build/"):
        target = Path(program).name.removesuffix("_address")
        assert target in (ROOT / "tests/cpp/CMakeLists.txt").read_text(), target
    else:
        script = ROOT / program
        assert script.suffix == ".sh", f"{program}: nobody knows how to check it"
        assert os.access(script, os.X_OK)
        subprocess.run(["bash", "-n", script], check=True)


def run_twodasl(words: list[str], read_only: bool, capsys) -> None:
    options = cli._parser(words).parse_args(words)
    if options.command == "train":
        assert cli.main([*words, "--dry-run"]) == 0, capsys.readouterr().err
        output = capsys.readouterr().out
        if "--dry-run" in words:
            Path("mine.toml").write_text(output)
    elif options.command != "demo" and not read_only:
        assert cli.main(words) == 0, capsys.readouterr().err


class Parsed(Exception):
    """A benchmark's command line was read."""


def benchmark_file(module: str) -> Path:
    """What `python -m MODULE` runs."""
    place = ROOT / module.replace(".", "/")
    return place / "__main__.py" if place.is_dir() else place.with_suffix(".py")


def read_benchmark(module: str, words: list[str], monkeypatch) -> None:
    file = benchmark_file(module)
    main = import_module(f"{module}.__main__" if file.name == "__main__.py" else module).main
    if not words and "argparse" not in file.read_text():
        return
    parse = ArgumentParser.parse_args

    def stop(self, *arguments):
        parse(self, *arguments)
        raise Parsed

    with monkeypatch.context() as patched:
        patched.setattr(ArgumentParser, "parse_args", stop)
        patched.setattr(sys, "argv", [module, *words])
        with pytest.raises(Parsed):
            main()


def check_pip(words: list[str]) -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert words[0] == "install"
    for extra in re.findall(r"\.\[([\w,]+)\]", " ".join(words)):
        for name in extra.split(","):
            assert re.search(rf"^{name} = \[", project, re.MULTILINE), f"no extra {name}"
    assert words[1].startswith("."), "installs from the checkout"


def test_toml_blocks_are_configurations(tmp_path):
    file = tmp_path / "block.toml"
    for block in BLOCKS:
        if block.language == "toml":
            file.write_text(block.text)
            assert cli.main(["train", "--config", str(file), "--dry-run"]) == 0, block.where


def test_commands_in_sentences_exist():
    """`twodasl COMMAND`, `python -m benchmarks.NAME` and `pip install '.[EXTRA]'` between backquotes."""
    seen = 0
    for page in PAGES:
        text = "\n".join(split_page(page.read_text(encoding="utf-8"))[0])
        for code in re.findall(r"`([^`\n]+)`", text):
            if match := re.match(r"twodasl ([a-z]+)", code):
                assert match[1] in cli.COMMANDS, f"{page.name}: {code}"
            elif match := re.match(r"python -m (benchmarks(?:\.\w+)+)", code):
                assert benchmark_file(match[1]).is_file(), f"{page.name}: {code}"
            elif match := re.match(r"pip install '(\.\[\w+\])'", code):
                check_pip(["install", match[1]])
            else:
                continue
            seen += 1
    assert seen > 20
