"""NME, yaw bins and reports."""

import csv
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from twodasl.errors import InputError
from twodasl.evaluation import (
    BIN_NAMES,
    Report,
    format_report,
    format_table,
    normalized_mean_error,
    report_json,
    summarize,
    write_json,
    yaw_bins,
)
from twodasl.evaluation.report_files import images_csv

TRUTH = np.random.default_rng(0).uniform(50, 150, (4, 68, 2))


def test_a_shift_of_five_pixels_in_a_box_of_known_size():
    truth = np.zeros((1, 68, 2))
    truth[0, 1] = (100, 25)  # the box is 100 x 25: its normalizer is 50
    error = normalized_mean_error(truth + np.array([3.0, 4.0]), truth)
    np.testing.assert_allclose(error, [0.1], rtol=1e-12)


def test_nme_is_the_definition_point_by_point():
    predicted = TRUTH + np.random.default_rng(1).normal(size=TRUTH.shape)
    expected = []
    for found, true in zip(predicted, TRUTH, strict=True):
        width, height = true[:, 0].max() - true[:, 0].min(), true[:, 1].max() - true[:, 1].min()
        total = sum(math.hypot(f[0] - t[0], f[1] - t[1]) for f, t in zip(found, true, strict=True))
        expected.append(total / 68 / math.sqrt(width * height))
    np.testing.assert_allclose(normalized_mean_error(predicted, TRUTH), expected, rtol=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    scale=st.floats(0.1, 50),
    shift=st.floats(-1000, 1000),
    noise=hnp.arrays(np.float64, (4, 68, 2), elements=st.floats(-9, 9)),
)
def test_nme_does_not_know_the_image_size(scale, shift, noise):
    error = normalized_mean_error(TRUTH + noise, TRUTH)
    moved = normalized_mean_error((TRUTH + noise) * scale + shift, TRUTH * scale + shift)
    np.testing.assert_allclose(moved, error, rtol=1e-9, atol=1e-12)


def test_depth_is_ignored_and_the_box_may_be_that_of_other_points():
    predicted = TRUTH + 1.0
    deep = np.concatenate([predicted, np.full((4, 68, 1), 1e6)], axis=2)
    np.testing.assert_array_equal(normalized_mean_error(deep, TRUTH), normalized_mean_error(predicted, TRUTH))
    halved = normalized_mean_error(predicted, TRUTH, box_points=TRUTH * 2)
    np.testing.assert_allclose(halved * 2, normalized_mean_error(predicted, TRUTH))


@pytest.mark.parametrize(
    ("predicted", "truth", "message"),
    [
        (TRUTH[:, :67], TRUTH, r"predicted: expected \(4, 68, 2\)"),
        (TRUTH[0], TRUTH[0], r"predicted: expected \(n, L, 2 or more\)"),
        (np.where(np.arange(4)[:, None, None] == 2, np.nan, TRUTH), TRUTH, "predicted: .* row 2"),
        (TRUTH, np.where(np.arange(4)[:, None, None] == 1, np.inf, TRUTH), "truth: .* row 1"),
        (TRUTH, TRUTH * (1, 0), "truth: expected landmarks that span a box, got none in row 0"),
    ],
)
def test_what_does_not_fit_is_named(predicted, truth, message):
    with pytest.raises(ValueError, match=message):
        normalized_mean_error(predicted, truth)


def test_bin_edges_belong_to_the_lower_bin_and_the_sign_does_not_matter():
    yaw = [0, 30, 30.01, 60, 60.01, 90, 95.5]
    expected = [0, 0, 1, 1, 2, 2, 2]
    assert yaw_bins(yaw).tolist() == expected
    assert yaw_bins(-np.array(yaw)).tolist() == expected


def test_both_means_differ_where_bins_differ_in_size():
    summary = summarize([0.01, 0.02, 0.03, 0.08, 0.12, 0.2], [0, -10, 30, 45, -80, 95])
    assert summary.bins == pytest.approx((2, 8, 16))
    assert summary.counts == (3, 1, 2)
    assert summary.bin_mean == pytest.approx(26 / 3)
    assert summary.image_mean == pytest.approx(46 / 6)
    assert summary.beyond_90 == 1
    assert summary.empty_bins == ()


def test_an_empty_bin_is_said_and_left_out_of_the_mean():
    summary = summarize([0.02, 0.04], [5, 70])
    assert summary.bins == (pytest.approx(2), None, pytest.approx(4))
    assert summary.bin_mean == pytest.approx(3)
    assert summary.empty_bins == ("(30, 60]",)
    assert "-" in format_table({"row": summary}).splitlines()[-1].split()


@pytest.mark.parametrize(
    ("errors", "yaw"), [([], []), ([0.1], [0.1, 0.2]), ([math.nan], [0]), ([0.1], [math.nan])]
)
def test_summary_of_nothing_or_of_nan_is_refused(errors, yaw):
    with pytest.raises(ValueError, match="expected"):
        summarize(errors, yaw)


@pytest.fixture
def report() -> Report:
    errors = {"network, step 3": np.array([0.02, 0.5, 0.04]), "input": np.array([0.03, 0.06, 0.07])}
    settings = {"ground truth": "original", "yaw source": "Pose_Para"}
    return Report("A test", settings, ["a,b.jpg", "c.jpg", "d.jpg"], np.array([0.0, -40, 91]), errors)


def test_the_text_names_every_choice(report):
    text = format_report(report, worst=2)
    for expected in (
        "ground truth",
        "original",
        "yaw source",
        "Pose_Para",
        "bin mean: each yaw bin counts alike",
    ):
        assert expected in text
    assert "1 image(s) beyond 90 degrees" in text
    rows = {line.split("  ")[0]: line.split()[-5:] for line in text.splitlines()}
    assert rows["network, step 3"] == ["2.0000", "50.0000", "4.0000", "18.6667", "18.6667"]
    assert text.splitlines()[-2:] == ["   50.0000    -40.0  c.jpg", "    4.0000     91.0  d.jpg"]


def test_json_and_csv_hold_the_same_numbers(report, tmp_path):
    write_json(tmp_path / "new" / "report.json", report)
    loaded = json.loads((tmp_path / "new" / "report.json").read_text())
    assert loaded == report_json(report)
    assert loaded["results"]["input"]["bins"] == pytest.approx(dict(zip(BIN_NAMES, (3, 6, 7), strict=True)))
    assert loaded["settings"]["ground truth"] == "original"
    rows = list(csv.DictReader(images_csv(report).splitlines()))
    assert [row["image"] for row in rows] == ["a,b.jpg", "c.jpg", "d.jpg"]
    assert [row["yaw_bin"] for row in rows] == list(BIN_NAMES)
    assert float(rows[1]["nme_percent network, step 3"]) == 50


def test_empty_bins_are_null_in_json(tmp_path):
    report = Report("t", {}, ["a"], np.array([10.0]), {"r": np.array([0.1])})
    write_json(tmp_path / "r.json", report)
    assert json.loads((tmp_path / "r.json").read_text())["results"]["r"]["bins"]["(60, 90]"] is None
    assert "No image in (30, 60], (60, 90]" in format_report(report)


def test_an_unwritable_report_is_an_input_error(report, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_json(tmp_path / "file" / "report.json", report)
