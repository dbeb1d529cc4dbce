"""The kinds of photo data sets by name, without the code that reads them."""

from __future__ import annotations

from ...errors import InputError

KINDS: dict[str, str] = {
    "300w-lp": "300W-LP's folders, or 3DDFA's training list with param_all_norm.pkl",
    "aflw": "AFLW as in 3DDFA's test data: crops with 21 points",
    "aflw-lfpa": "AFLW-LFPA's training photos with 34 points",
    "umdfaces": "UMDFaces' tables and photos",
    "mesh478": "faces.csv, images, and the points of two detectors in mesh478.npy and points5.npy",
    "photos": "any photos, each with a .pts, .npy, .csv or .txt of landmarks beside it",
}
"""What each kind is, in words."""

_NOSE = "below 0 the nose points to the picture's right, above 0 to its left"
YAW_WORDS: dict[str, str] = {"300w-lp": _NOSE, "aflw": _NOSE, "umdfaces": "as the table's YAW"}
"""Which way yaw is positive, for the kinds that have one."""


def split_source(source: str, name: str = "source") -> tuple[str, str]:
    """Kind and folder of a text `KIND:FOLDER`. Raises InputError, beginning with `name`, when it is none."""
    kind, colon, root = source.partition(":")
    if not colon or not root or kind not in KINDS:
        kinds = ", ".join(KINDS)
        raise InputError(
            f"{name}: expected KIND:FOLDER, as in aflw:/data/aflw, got {source!r}; kinds are {kinds}"
        )
    return kind, root
