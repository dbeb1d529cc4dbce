"""The kinds of photo data sets by name, without the code that reads them."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import InputError

_NOSE = "below 0 the nose points to the picture's right, above 0 to its left"


@dataclass(frozen=True)
class Kind:
    """A kind of data set: the module beside this one that reads it, and what it is called.

    The module has `scan`, whose photos are listed once and read from their files; or, where `listed` is
    False, `open_folder`, which returns a `PhotoSet` at once.
    """

    module: str
    description: str
    yaw: str = ""
    """Which way yaw is positive, where there is one."""
    listed: bool = True
    """Whether its photos are listed."""


KINDS = {
    "300w-lp": Kind("w300lp", "300W-LP's folders, or 3DDFA's training list with param_all_norm.pkl", _NOSE),
    "aflw": Kind("aflw", "AFLW as in 3DDFA's test data: crops with 21 points", _NOSE),
    "aflw-lfpa": Kind("aflw_lfpa", "AFLW-LFPA's training photos with 34 points"),
    "umdfaces": Kind("umdfaces", "UMDFaces' tables and photos", "as the table's YAW"),
    "mesh478": Kind("mesh478", "faces.csv, images, and two detectors' points in mesh478.npy and points5.npy"),
    "fitted": Kind(
        "fitted", "photos with 3D annotation, as `twodasl data annotate` writes them", _NOSE, False
    ),
    "photos": Kind("folder", "any photos, each with a .pts, .npy, .csv or .txt of landmarks beside it"),
}


def split_source(source: str, name: str = "source") -> tuple[str, str]:
    """Split `KIND:FOLDER` into kind and folder. Raises InputError, beginning with `name`, if invalid."""
    kind, colon, root = source.partition(":")
    if not colon or not root or kind not in KINDS:
        kinds = ", ".join(KINDS)
        raise InputError(
            f"{name}: expected KIND:FOLDER, as in aflw:/data/aflw, got {source!r}; kinds are {kinds}"
        )
    return kind, root
