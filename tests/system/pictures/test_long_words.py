"""Titles, labels and names of any length and kind: what is drawn and printed keeps its layout."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from twodasl.cli import main
from twodasl.errors import InputError
from twodasl.evaluation import Report, write_json
from twodasl.evaluation.comparison import read_report
from twodasl.io.terminal import shortened
from twodasl.pictures.charts import Page, style
from twodasl.pictures.render import caption


def test_long_words_stay_in_the_picture_and_the_table(capsys, tmp_path):
    rows = {f"row {i} " + "r" * 300: np.linspace(0.01, 0.2 + i, 9) for i in range(40)}
    report = Report("T" * 400 + "\nline", {"points": "p" * 9000}, [str(i) for i in range(9)], None, rows, 0)
    for name in "ab":
        write_json(tmp_path / f"{name}.json", replace(report, settings={"points": name * 9000}))
    out = tmp_path / "out"
    reports = [str(tmp_path / f"{name}.json") for name in "ab"]
    assert main(["evaluate", "compare", *reports, "-o", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) < 600
    table = [line for line in lines if line.startswith(("1. ", "2. ", "40. "))]
    assert table
    assert max(map(len, table)) < 110
    (chart,) = out.glob("*.png")
    assert len(chart.name) < 100
    picture = cv2.imread(str(chart))
    assert picture.shape[1] == 1140
    assert picture.shape[0] < 1600
    assert (picture[:, -4:] == 255).all()  # nothing runs into the border
    assert (picture[10:60, -200:] < 128).any()  # and the title ends near it


def test_a_report_of_too_many_rows_is_refused(tmp_path):
    rows = {str(i): np.array([0.1]) for i in range(101)}
    write_json(tmp_path / "a.json", Report("title", {}, ["x"], None, rows, 0))
    with pytest.raises(InputError, match=r"a\.json: expected a report"):
        read_report(tmp_path / "a.json")


@pytest.mark.parametrize("align", ["left", "center", "right"])
@pytest.mark.parametrize(
    "words", ["x" * 5000, "a\nb\x1b[2J", "\udcff" * 90, "中" * 200, " ", ""], ids=range(6)
)
def test_a_pages_words_end_at_its_border(words, align):
    with style():
        page = Page(300, 40)
        page.text({"left": 10, "center": 150, "right": 290}[align], 20, words, 11, align)
        picture = page.image()
    assert (picture[:, :2] == 255).all()
    assert (picture[:, -2:] == 255).all()
    assert (picture < 200).any() == bool(words.strip())


def test_captions_and_shortened_words():
    tile = np.zeros((20, 120, 3), np.uint8)
    for words in ("x" * 100_000, "\udcff" * 90, ""):
        assert caption(tile, words).shape == (42, 120, 3)
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghijk", 10) == "abcde...jk"
    assert [len(shortened("x" * 99, most)) for most in (4, 5, 6, 50)] == [4, 5, 6, 50]
