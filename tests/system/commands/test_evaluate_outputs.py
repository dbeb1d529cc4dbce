"""What every `twodasl evaluate` command writes, the worst images, and reports side by side."""

import csv
import json
import warnings
from argparse import Namespace

import cv2
import matplotlib
import numpy as np
import pytest
from matplotlib._pylab_helpers import Gcf
from twodasl.cli import main
from twodasl.commands.evaluate.outputs import check_outputs
from twodasl.errors import InputError
from twodasl.evaluation import Report, format_report, report_json, summarize, write_json
from twodasl.evaluation.comparison import compare, curves, read_report
from twodasl.evaluation.error_curve import error_curves
from twodasl.evaluation.worst_sheet import PREDICTED, TILE, TRUTH, WorstFace, worst_sheet
from twodasl.io.files import check_targets, write_together

from ..photo_sets import face_points, write_picture

COUNT = 8


@pytest.fixture
def folder(tmp_path, photo68):
    """A development folder of which image i is predicted i pixels off."""
    root = tmp_path / "set"
    points = np.stack([face_points(photo68, i) for i in range(COUNT)])
    names = [f"image{i:05d}.jpg" for i in range(COUNT)]
    for name, marks in zip(names, points, strict=True):
        write_picture(root / "images" / name, marks)
    (root / "names.txt").write_text("\n".join(names))
    np.save(root / "pts68.npy", points)
    np.save(root / "yaw_degrees.npy", np.array([0.0, 10, -20, 35, 50, -55, 70, 80]))
    np.save(tmp_path / "p.npy", points + np.arange(COUNT)[:, None, None] * [1.0, 0])
    return tmp_path


def evaluate(capsys, *arguments) -> tuple[int, str, str]:
    code = main(["evaluate", *map(str, arguments)])
    output, errors = capsys.readouterr()
    return code, output, errors


def on(folder, *options):
    return ("aflw2000", "--root", folder / "set", "--predictions", folder / "p.npy", *options)


def test_output_holds_everything(capsys, folder):
    code, output, errors = evaluate(capsys, *on(folder, "-o", folder / "out", "--worst", 3))
    assert code == 0, errors
    made = {file.name for file in (folder / "out").iterdir()}
    assert made == {"report.json", "table.csv", "images.csv", "error-curve.png", "worst-images.png"}
    report = json.loads((folder / "out" / "report.json").read_text())
    with open(folder / "out" / "table.csv", newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row["row"] == "predictions"
    result = report["results"]["predictions"]
    for name in ("bin_mean", "bin_std", "image_mean", "median"):
        assert float(row[name]) == pytest.approx(result[name], abs=1e-6)
    assert float(row["nme_percent (30, 60]"]) == pytest.approx(result["bins"]["(30, 60]"], abs=1e-6)
    assert row["images (60, 90]"] == "2"
    assert result["bin_std"] == pytest.approx(np.std(list(result["bins"].values())))
    assert output.count("wrote ") == 5
    sheet = cv2.imread(str(folder / "out" / "worst-images.png"))
    assert sheet.shape[1] >= 3 * TILE


def test_the_worst_images_are_dropped_from_each_row(capsys, folder):
    code, output, _ = evaluate(capsys, *on(folder, "--drop-worst", 3, "--json", folder / "r.json"))
    assert code == 0
    report = json.loads((folder / "r.json").read_text())
    all_errors = np.array(report["per_image"]["nme"]["predictions"])
    assert len(all_errors) == COUNT
    result = report["results"]["predictions"]
    assert result["images"] == COUNT - 3
    assert result["image_mean"] == pytest.approx(all_errors[:5].mean())  # image i is i pixels off
    assert result["counts"] == {"[0, 30]": 3, "(30, 60]": 2, "(60, 90]": 0}
    assert report["dropped_worst"] == 3
    assert "the 3 worst images of each row" in output
    assert "No image in (60, 90]" in output
    for worst in ("1001", "9" * 18):
        code, _, errors = evaluate(capsys, *on(folder, "--worst", worst))
        assert (code, "--worst: expected 0 to 1,000 images, got " + worst in errors) == (2, True)
    for wrong in ("²", "٣", "9" * 5000, "-1", "1.0", "x"):
        code, _, errors = evaluate(capsys, *on(folder, f"--worst={wrong}"))
        assert code == 2
        assert "--worst: expected a whole number from 0, got " in errors
    code, _, errors = evaluate(capsys, *on(folder, "--drop-worst", COUNT))
    assert (code, errors.count("\n")) == (2, 1)
    assert "expected less than the 8 images, got 8" in errors


def test_each_row_drops_its_own_images():
    errors = {"a": np.array([0.1, 0.2, 0.9]), "b": np.array([0.9, 0.2, 0.1])}
    report = Report("t", {}, ["x", "y", "z"], np.array([0.0, 40, 80]), errors, drop_worst=1)
    summaries = report.summaries()
    assert summaries["a"].bins == (pytest.approx(10), pytest.approx(20), None)
    assert summaries["b"].bins == (None, pytest.approx(20), pytest.approx(10))
    assert format_report(report).count("images  ") == 2  # counts under each distinct set


def test_unknown_yaw_gives_means_alone():
    summary = summarize([0.1, 0.2, 0.6], None)
    assert (summary.bin_mean, summary.bin_std, summary.count) == (None, None, 3)
    assert summary.image_mean == pytest.approx(30)
    assert summary.median == pytest.approx(20)
    report = Report("t", {}, ["x", "y", "z"], None, {"a": np.array([0.1, 0.2, 0.6])})
    text = format_report(report, worst=1)
    assert "bin mean" not in text
    assert text.splitlines()[-1].split() == ["60.0000", "z"]
    assert report_json(report)["per_image"]["yaw"] is None


@pytest.mark.parametrize("target", ["--output", "--json", "--csv"])
def test_nothing_is_measured_when_it_cannot_be_written(capsys, folder, target):
    (folder / "file").write_text("")
    code, output, errors = evaluate(capsys, *on(folder, target, folder / "file" / "x"))
    assert code == 2
    assert output == ""
    assert errors.count("\n") == 1
    assert "cannot be written" in errors
    (folder / "taken" / "report.json").mkdir(parents=True)
    code, _, errors = evaluate(capsys, *on(folder, "-o", folder / "taken"))
    assert code == 2
    assert "is a folder, expected a file" in errors
    assert [file.name for file in (folder / "taken").iterdir()] == ["report.json"]


def test_no_result_replaces_a_file_that_a_choice_names(tmp_path):
    truth = tmp_path / "truth.npy"
    truth.write_bytes(b"kept")
    options = Namespace(output=None, json=truth, csv=None, worst=None, drop_worst=0, ground_truth=str(truth))
    with pytest.raises(InputError, match=r"truth\.npy: is an input and would be overwritten"):
        check_outputs(options, 3)


def test_files_are_written_all_or_none(tmp_path):
    class Broken(str):
        def encode(self, *_):
            raise RuntimeError("full")

    with pytest.raises(RuntimeError):
        write_together({tmp_path / "a": "one", tmp_path / "b": Broken("two")})
    assert not list(tmp_path.iterdir())
    write_together({tmp_path / "new" / "a": "one", tmp_path / "b": b"two"})
    assert (tmp_path / "new" / "a").read_text() == "one"
    check_targets([tmp_path / "b", tmp_path / "not" / "yet" / "there"])
    assert not (tmp_path / "not").exists()


def test_the_sheet_shows_both_kinds_of_points():
    truth = np.array([[20.0, 20], [80, 20], [50, 80], [np.nan, np.nan]])
    predicted = truth + np.array([6.0, 0])
    picture = np.full((100, 100, 3), 90, np.uint8)
    sheet = worst_sheet([WorstFace(picture, truth, predicted, "a.jpg", 6.0, 12.0)], "Title")
    for color in (TRUTH, PREDICTED):
        below = sheet[75:]  # not the legend
        assert (np.abs(below.astype(int) - np.array(color[::-1])).max(axis=2) < 12).sum() > 3 * 12
    assert (sheet[75:] == 90).all(axis=2).mean() > 0.1
    without = worst_sheet([WorstFace(None, truth, predicted, "a.jpg", 6.0, None)], "Title", "a note")
    assert not (without[100:] == 90).all(axis=2).any()
    with pytest.raises(ValueError, match="at least one"):
        worst_sheet([], "Title")


def test_a_prediction_far_away_does_not_make_the_face_a_dot():
    truth = np.array([[40.0, 40], [60, 40], [50, 60]])
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[:, ::2] = 250
    sheet = worst_sheet([WorstFace(picture, truth, truth + 1e6, "a.jpg", 1e6, 0.0)], "Title")
    shown = (np.abs(sheet[75:].astype(int) - np.array(TRUTH[::-1])).max(axis=2) < 12).sum()
    assert shown > 3 * 12


def test_images_that_are_gone_are_gray_and_counted(capsys, folder):
    (folder / "set" / "images" / "image00007.jpg").unlink()
    code, _, errors = evaluate(capsys, *on(folder, "-o", folder / "out"))
    assert code == 0, errors
    assert (folder / "out" / "worst-images.png").exists()


def test_curves_end_with_the_crowd():
    """One bad face of a hundred does not squeeze all curves."""
    rng = np.random.default_rng(0)
    good = rng.uniform(1, 4, 100)
    bad = good.copy()
    bad[0] = 400
    charts = [error_curves({"a": good, "b": values}, "title", "x") for values in (good, bad)]
    assert charts[0].shape == charts[1].shape
    differing = (charts[0] != charts[1]).any(axis=2).mean()
    assert 0 < differing < 0.03  # the words beside a curve, and its last step
    many = error_curves({str(i): good + i for i in range(9)}, "title", "x")
    assert many.shape[0] > charts[0].shape[0]
    with pytest.raises(ValueError, match="at least one"):
        error_curves({}, "title", "x")


def test_any_name_is_drawn_as_it_is():
    """A leading underscore, dollar signs, letters that the font lacks, bytes that are no UTF-8."""
    values = np.linspace(1, 4, 50)
    plain = error_curves({"a": values}, "title", "x")
    for name in ("_hidden", "$x_1$", "\u6f22\u5b57", "\udcff", "a\\frac"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            named = error_curves({name: values}, "title", "x")
            worst_sheet([WorstFace(None, np.eye(3)[:, :2], np.eye(3)[:, :2], name, 6.0, None)], name)
        assert named.shape == plain.shape
        axes = slice(-400, None)  # the words are above
        np.testing.assert_array_equal(named[axes], plain[axes])
        assert (named != plain).any()
    dollars = error_curves({"$x$ and $y$": values}, "title", "x")
    assert (dollars != error_curves({"x and y": values}, "title", "x")).any()


def test_drawing_leaves_the_settings_of_matplotlib_alone():
    before = matplotlib.rcParams.copy()
    error_curves({"a": np.linspace(1, 4, 9)}, "title", "x")
    assert matplotlib.rcParams.copy() == before
    assert not Gcf.get_all_fig_managers()


def test_reports_side_by_side(capsys, folder):
    points = np.load(folder / "p.npy")
    np.save(folder / "q.npy", points + 1)
    for name in ("p", "q"):
        predictions = ("--predictions", folder / f"{name}.npy", "-o", folder / name)
        assert evaluate(capsys, "aflw2000", "--root", folder / "set", *predictions)[0] == 0
    files = [folder / name / "report.json" for name in ("p", "q")]
    code, output, errors = evaluate(capsys, "compare", *files, "-o", folder / "both")
    assert code == 0, errors
    assert "Not comparable" not in output
    rows = {line.split()[0]: line.split()[1:] for line in output.splitlines() if line[:2] in ("p ", "q ")}
    singles = {name: json.loads((folder / name / "report.json").read_text()) for name in ("p", "q")}
    for name in ("p", "q"):
        result = singles[name]["results"]["predictions"]
        assert float(rows[name][-2]) == pytest.approx(result["bin_mean"], abs=1e-4)
    both = json.loads((folder / "both" / "comparison.json").read_text())
    assert [row["row"] for row in both["tables"][0]["rows"]] == ["p", "q"]
    assert both["tables"][0]["rows"][1]["image_mean"] == singles["q"]["results"]["predictions"]["image_mean"]
    with open(folder / "both" / "comparison.csv", newline="") as stream:
        found = {row["row"]: float(row["nme_percent image_mean"]) for row in csv.DictReader(stream)}
    assert found["q"] == pytest.approx(singles["q"]["results"]["predictions"]["image_mean"], abs=1e-6)
    charts = {path.name for path in (folder / "both").glob("*.png")}
    assert charts == {"error-curves-aflw2000.png"}
    assert cv2.imread(str(folder / "both" / "error-curves-aflw2000.png")) is not None


def test_curves_in_space_have_a_chart_of_their_own(capsys, tmp_path):
    for name, size in (("a", 2), ("b", 1)):
        errors = {"network": size * np.array([0.02, 0.04]), "network, 3D": size * np.array([0.2, 0.4])}
        write_json(tmp_path / f"{name}.json", Report("Set", {}, ["x", "y"], np.array([0.0, 40]), errors))
    reports = [read_report(tmp_path / f"{name}.json") for name in "ab"]
    (table,) = compare(dict(zip("ab", reports, strict=True)))
    found = curves(table)
    assert {measured: list(rows) for measured, rows in found.items()} == {"": ["a", "b"], "3D": ["a", "b"]}
    assert found["3D"]["b"].tolist() == [20, 40]
    files = (tmp_path / "a.json", tmp_path / "b.json")
    assert evaluate(capsys, "compare", *files, "-o", tmp_path / "both")[0] == 0
    assert {path.name for path in (tmp_path / "both").glob("*.png")} == {
        "error-curves-set.png", "error-curves-set-3d.png",
    }  # fmt: skip


def test_what_makes_reports_incomparable_is_named(capsys, tmp_path):
    yaw, errors = np.array([0.0, 40]), {"network": np.array([0.02, 0.04]), "input": np.array([0.05, 0.05])}
    settings = {"ground truth": "original"}
    write_json(tmp_path / "a.json", Report("Set", settings, ["x", "y"], yaw, errors))
    other = Report(
        "Set", {"ground truth": "again"}, ["x", "z"], yaw, errors | {"network": errors["network"] / 2}, 1
    )
    write_json(tmp_path / "b.json", other)
    write_json(tmp_path / "c.json", Report("Other set", {}, ["x", "y"], None, errors))
    code, output, _ = evaluate(capsys, "compare", *(tmp_path / f"{name}.json" for name in "abc"))
    assert code == 0
    assert "a and b: other images (2 and 2, 1 in both)." in output
    assert "a and b: 0 and 1 worst images dropped." in output
    assert "a and b: other ground truth: original | again." in output
    assert "Other set: 1 report" in output
    assert "a, input " in output  # dropped images set it apart
    write_json(tmp_path / "d.json", Report("Set", settings, ["x", "y"], yaw, errors))
    _, output, _ = evaluate(capsys, "compare", tmp_path / "a.json", tmp_path / "d.json")
    assert sum(line.startswith("input ") for line in output.splitlines()) == 1  # the same in both


def test_a_report_that_is_read_is_the_one_that_was_written(tmp_path):
    errors = {"r": np.array([0.0123456789, 0.4])}
    report = Report("Set", {"a": "b"}, ["x", "y"], np.array([1.5, -80.0]), errors, 1, "metric", ("note",))
    write_json(tmp_path / "a.json", report)
    again, first = report_json(read_report(tmp_path / "a.json")), report_json(report)
    for content in (again, first):  # percent to fraction and back rounds
        content["per_image"]["nme"]["r"] = [round(value, 12) for value in content["per_image"]["nme"]["r"]]
        numbers = content["results"]["r"]
        content["results"]["r"] = {key: numbers[key] for key in ("counts", "images")}
        content["image mean"] = round(numbers["image_mean"], 12)
    assert again == first


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "got no JSON"),
        (b"\xff\xfe", "got no JSON"),
        (b"[" * 100000, "got no JSON"),
        (b"[]", "got another JSON file"),
        (b'{"title": "x"}', "got another JSON file"),
        (None, "cannot be read"),
    ],
)
def test_files_that_are_no_reports_are_one_sentence(capsys, tmp_path, content, message):
    if content is not None:
        (tmp_path / "x.json").write_bytes(content)
    code, _, errors = evaluate(capsys, "compare", tmp_path / "x.json", "-o", tmp_path / "out")
    assert code == 2
    assert errors.count("\n") == 1
    assert "x.json" in errors
    assert message in errors
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "change", [{"nme": {"r": [1.0]}}, {"nme": {"r": [1.0, None]}}, {"nme": {"r": [1.0, -1]}}]
)
def test_a_spoilt_report_is_refused(capsys, tmp_path, change):
    write_json(tmp_path / "a.json", Report("S", {}, ["x", "y"], np.zeros(2), {"r": np.array([0.1, 0.2])}))
    content = json.loads((tmp_path / "a.json").read_text())
    content["per_image"] |= change
    (tmp_path / "a.json").write_text(json.dumps(content))
    code, _, errors = evaluate(capsys, "compare", tmp_path / "a.json")
    assert code == 2
    assert "got another JSON file" in errors


def test_names_of_reports(capsys, tmp_path):
    report = Report("S", {}, ["x"], np.zeros(1), {"r": np.array([0.1])})
    for name in ("one", "two"):
        write_json(tmp_path / name / "report.json", report)
    files = [tmp_path / name / "report.json" for name in ("one", "two")]
    _, output, _ = evaluate(capsys, "compare", *files, "--names", "mine, theirs")
    assert [line.split()[0] for line in output.splitlines()[-2:]] == ["mine", "theirs"]
    _, output, _ = evaluate(capsys, "compare", *files)
    assert [line.split()[0] for line in output.splitlines()[-2:]] == ["one", "two"]
    for names in ("mine", "mine,mine", "mine,"):
        code, _, errors = evaluate(capsys, "compare", *files, "--names", names)
        assert code == 2
        assert "--names: expected 2 different names" in errors
    code, _, errors = evaluate(capsys, "compare", files[0], files[0])
    assert code == 2
    assert "got one of them twice" in errors
