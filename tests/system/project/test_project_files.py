"""Links between the pages, figures that the README quotes, and CITATION.cff."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from .doc_blocks import PAGES, ROOT, split_page

README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "benchmarks" / "results"


def prose(page: Path) -> str:
    return "\n".join(split_page(page.read_text(encoding="utf-8"))[0])


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub makes anchors of them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        copies = sum(known == words or known.rpartition("-")[0] == words for known in found)
        found.add(f"{words}-{copies}" if copies else words)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_images_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), f"{page.name}: {target} is not there"
        assert not anchor or anchor in anchors(file), f"{page.name}: {target} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_whole(page):
    """A table has a head, a rule, and rows of as many cells: a blank line cuts it in two."""
    table: list[int] = []
    for line in [*prose(page).splitlines(), ""]:
        if not line.startswith("|"):
            table = []
            continue
        cells = len(re.findall(r"(?<!\\)\|", re.sub(r"`[^`]*`", "", line))) - 1
        table.append(cells)
        assert cells == table[0], f"{page.name}: {line}"
        if len(table) == 2:
            assert set(line) <= set("|-: "), f"{page.name}: no rule under the head before {line}"


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d+", text)]


def nme_rows(file: Path) -> dict[str, list[float]]:
    """label -> errors of the bins and their mean, of a printed table."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return {line[:24].strip(): numbers(line)[:4] for line in lines if len(numbers(line)) >= 5}


def test_alignment_errors_in_the_readme_are_those_of_the_results():
    table = README[README.index("## What to expect") :].split("\n\n")[2]
    quoted = [[float(cell) for cell in row.split("|")[2:7]] for row in table.splitlines()[2:]]
    folder = RESULTS / "experiments"
    found = []
    for file, label in (
        ("base.none", "network and fit"),
        ("base.detected", "network and fit"),
        ("research.none", "network and fit"),
        ("research.detected", "network and fit"),
        ("base.detected", "detected landmarks"),
    ):
        rows, again = nme_rows(folder / f"{file}.txt"), nme_rows(folder / f"{file}.reannotated.txt")
        found.append([*list(rows[label])[:4], list(again[label])[3]])
    np.testing.assert_allclose(quoted[1:6], found, rtol=0, atol=0.00501)
    alone = (folder / "base.photo-alone.txt").read_text(encoding="utf-8")
    fitted = [numbers(row) for row in re.findall(r"^with the fit .*$", alone, re.MULTILINE)]
    np.testing.assert_allclose(quoted[0], [*fitted[0][:4], fitted[1][3]], rtol=0, atol=0.00501)


def test_pose_in_the_readme_is_that_of_the_results():
    found = re.search(r"head pose, the authors' ([\d.]+) degrees, is ([\d.]+) with the detected", README)
    assert found[1] == "3.84"
    without = re.search(r"and ([\d.]+) without \(`base`\)", " ".join(README.split()))[1]
    for name, stated in (("detected", found[2]), ("none", without)):
        page = (RESULTS / "experiments" / f"base.{name}.txt").read_text(encoding="utf-8")
        mean = re.search(r"^pose, network and fit: .* mean ([\d.]+);", page, re.MULTILINE)[1]
        assert float(stated) == pytest.approx(float(mean), abs=0.00501)


def test_times_in_the_readme_are_those_of_the_results():
    page = RESULTS / re.search(r"\[that run\]\(benchmarks/results/([\w.-]+)\)", README)[1]
    table = {
        cells[1]: [float(cell) if cell != "-" else None for cell in (cells[8], cells[10])]
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.count("|") == 13 and "B=" in line
        for cells in [[cell.strip() for cell in line.split("|")]]
    }
    text = " ".join(README[README.index("In [that run]") : README.index("Results for all operators")].split())
    ratios = numbers(text)
    wanted = []
    for direction in ("forward", "forward+backward"):
        for column in (0, 1):  # eager over fused, usual over fused
            for batch in (1, 8, 32, 128):
                wanted.append(table[f"vertices {direction} B={batch} N=53215 K=50"][column])
    half = table["vertices forward B=1 N=53215 K=50 bfloat16"][0]
    weights = table["importance_weights forward B=32 L=68 K=50"][1]
    landmarks = table["landmarks forward+backward B=32 L=68 K=50"][0]
    assert ratios == pytest.approx([*wanted, half, weights, landmarks], abs=0.0501)
    cost = table["vertex_distance_cost forward B=32 N=53215 K=50"][1]
    assert int(re.search(r" (\d+) times as long", text)[1]) == pytest.approx(cost, rel=0.01)


def test_the_citation_names_this_version_and_the_paper():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    own, paper = text.split("references:\n")
    entries = dict(re.findall(r"^([\w-]+): (.+)$", own, re.MULTILINE))
    assert entries["cff-version"] == "1.2.0"
    assert entries["title"] == "twodasl"
    assert entries["version"] == version("twodasl")
    assert entries["license"] == "MIT"
    families = re.findall(r"family-names: (\w+)", paper)
    assert families == ["Tu", "Zhao", "Jiang", "Luo", "Xie", "Zhao", "He", "Ma", "Feng"]
    assert "url: https://arxiv.org/abs/1903.09359\n" in paper


def test_the_citation_is_yaml():
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["authors"] == [{"name": "The twodasl authors"}]
    assert len(citation["references"][0]["authors"]) == 9


def test_confidence_in_the_guide_is_that_of_the_results():
    """The table of sets and the one of bins, with the re-annotated ground truth."""
    guide = (ROOT / "docs" / "reconstruction.md").read_text(encoding="utf-8")
    text = (RESULTS / "experiments" / "base.confidence.txt").read_text(encoding="utf-8")
    lines = text[text.index("reannotated ground truth") :].splitlines()
    sets = [
        line.replace("%", "").split()[-5:]
        for line in lines
        if line.count("%") == 2 and not line.strip().startswith("photographed")
    ]
    table = guide[guide.index("| | pictures | good, % |") :].split("\n\n")[0].splitlines()[2:]
    quoted = [[cell.strip().replace(",", "") for cell in row.split("|")[2:7]] for row in table]
    assert quoted == [["" if cell == "nan" else cell for cell in row] for row in sets]
    bins = [
        re.findall(r"([\d.]+) \((\d+)\)", line)[-1]
        for line in lines
        if re.match(r" +0\.\d to [01]\.\d ", line)
    ]
    table = guide[guide.index("| confidence | 0.0 to 0.1 |") :].split("\n\n")[0].splitlines()[2:]
    quoted = [[cell.strip().replace(",", "") for cell in row.split("|")[2:12]] for row in table]
    assert quoted == [list(column) for column in zip(*bins, strict=True)]
