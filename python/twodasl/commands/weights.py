"""`twodasl weights`: what comes with the package, and weights from a checkpoint."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import add_checkpoint, add_model, add_output_file
from .messages import note

if TYPE_CHECKING:
    from ..training.confidence import Calibration
    from ..training.priors import FitPriors

DESCRIPTION = """\
Write the network of a checkpoint as weights: NAME.safetensors, its tensors without what only training needs,
and NAME.json, everything else. How far the network usually errs is measured on --measure-on and kept with
them, for the fit to landmarks; and so is how sure a face is, of a network with points of its own, for the
confidence of results. `twodasl reconstruct --checkpoint NAME.safetensors` uses them.
"""
_MOST = 1 << 20  # bytes of --about


def register(subparsers: Any) -> None:
    """Describe `weights list` and `weights export`."""
    parser = subparsers.add_parser("weights", help="trained networks to use and to give away")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = actions.add_parser(
        "list", help="what comes with the package", description="The weights that come with the package."
    )
    listed.set_defaults(run=run_list)
    export = actions.add_parser(
        "export",
        help="write the network of a checkpoint as weights",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_checkpoint(export, required=True)
    add_model(export, "default: the checkpoint's")
    add_output_file(export, "NAME.safetensors", required=True)
    export.add_argument(
        "--measure-on",
        metavar="KIND:FOLDER",
        help="photos with 3D annotation, such as fitted:FOLDER, that it was not trained on, to measure its"
        " errors (default: 1.6 times those on synthetic faces that it has not seen)",
    )
    export.add_argument(
        "--confidence-on",
        metavar="KIND:FOLDER",
        help="photos with 68 landmarks, such as mesh478:FOLDER, to measure how much more than drawn faces"
        " they err for the same confidence (default: 1.6 times)",
    )
    export.add_argument(
        "--about",
        metavar="FILE",
        type=Path,
        help="a JSON object to keep with them: name, license, data, figures",
    )
    export.set_defaults(run=run_export)


def run_list(args: argparse.Namespace) -> int:
    """A line for each."""
    from ..training.weights import read_weights
    from ..weights import SHIPPED, is_shipped, weights_file

    for name in SHIPPED:
        if not is_shipped(name):
            print(f"{name}: is not in this installation")
            continue
        about = read_weights(weights_file(name))["about"]
        words = [str(about[key]) for key in ("summary", "license") if key in about]
        print(f"{name}: {'; '.join(words)}")
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Measure the network's errors, write both files."""
    import torch

    from ..errors import InputError
    from ..io.files import check_targets
    from ..morphable import load_model
    from ..training.checkpoint import check_model, load_checkpoint
    from ..training.config import TrainingConfig
    from ..training.priors import PHOTOS, measure_priors
    from ..training.trained import load_regressor
    from ..training.weights import save_weights, weights_targets
    from ..weights import SUFFIX, weights_file

    targets = weights_targets(args.output)
    check_targets(list(targets))
    for given in (args.about, args.checkpoint):
        if given is not None and os.path.realpath(given) in map(os.path.realpath, targets):
            raise InputError(
                f"{given}: would be overwritten by the weights; choose another name for --output"
            )
    about = {} if args.about is None else _about(args.about)
    if weights_file(args.checkpoint).suffix == SUFFIX:
        raise InputError(f"--checkpoint: {args.checkpoint} is weights already; give a checkpoint")
    contents = load_checkpoint(args.checkpoint)
    regressor, whitening, _ = load_regressor(args.checkpoint)
    config = TrainingConfig.from_dict(contents["config"])
    model = load_model(config.data.model if args.model is None else args.model)
    check_model(args.checkpoint, contents, model)
    photos = _confidence_photos(args.confidence_on, config.network.points)
    faces = _measured_faces(args.measure_on, model)
    spread = torch.from_numpy(model.coefficient_std)
    priors = measure_priors(regressor, whitening, model.basis(), spread, faces)
    if args.measure_on is None:
        priors = priors.widened(PHOTOS)
    confidence = None
    if config.network.points:
        confidence = _confidence(contents, priors, model, photos)
    for path in save_weights(args.output, contents, priors, about, confidence):
        note(f"wrote {path} ({path.stat().st_size:,} bytes)")
    shown = ", ".join(f"{degrees:.1f}" for degrees in torch.tensor(priors.turn).rad2deg().tolist())
    own = f"; the network's own sigma times {priors.points:.2f}" if config.network.points else ""
    print(
        f"errors, from {len(faces):,} faces, at 15, 45 and 75 degrees of yaw: turn {shown} degrees,"
        f" shift {', '.join(f'{pixels:.1f}' for pixels in priors.shift)} crop pixels{own}"
    )
    if confidence is not None:
        print(f"confidence: {confidence.describe()}")
    return 0


def _confidence(contents: dict[str, Any], priors: FitPriors, model: Any, photos: Any) -> Calibration:
    """How sure faces are that the weights to be written reconstruct."""
    from tempfile import TemporaryDirectory

    from ..reconstruction.confidence_measure import FACES, measure_confidence
    from ..reconstruction.reconstructor import FaceReconstructor
    from ..synthetic import SyntheticFaces, SyntheticOptions
    from ..training.random_streams import SyntheticSeed
    from ..training.weights import save_weights

    drawn = SyntheticFaces(model, FACES, SyntheticSeed.HELD_OUT, SyntheticOptions(occluders=0.35))
    with TemporaryDirectory() as folder:
        file, _ = save_weights(Path(folder) / "measured.safetensors", contents, priors, {})
        return measure_confidence(FaceReconstructor(file, model), drawn, photos)


def _confidence_photos(source: str | None, points: int) -> Any:
    """The photos of --confidence-on, if any."""
    from ..datasets.photos.sources import open_source
    from ..errors import InputError

    if source is None:
        return None
    if not points:
        raise InputError("--confidence-on: the network has no points of its own, and faces get no confidence")
    return open_source(source)


def _measured_faces(source: str | None, model: Any) -> Any:
    from ..datasets.photos.sources import open_source
    from ..errors import InputError
    from ..synthetic import SyntheticFaces
    from ..training.random_streams import SyntheticSeed

    if source is None:
        return SyntheticFaces(model, 1000, SyntheticSeed.HELD_OUT)
    faces = open_source(source, model=model)
    if faces.without_parameters:
        raise InputError(f"--measure-on: expected faces with parameters: {faces.without_parameters}")
    return faces


def _about(path: Path) -> dict[str, Any]:
    import json

    from ..errors import InputError, reading
    from ..io.files import regular_file

    file = regular_file(path)
    if file.stat().st_size > _MOST:
        raise InputError(f"{path}: expected a JSON object of at most {_MOST:,} bytes")
    with reading(file, "a JSON object"):
        about = json.loads(file.read_text(encoding="utf-8-sig"))
    if not isinstance(about, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(about).__name__}")
    return about
