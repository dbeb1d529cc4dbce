"""Edge flips that make a triangulation Delaunay on the surface itself rather than in its chart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]


def _opposite_angles(points: Array, tip: IntArray, a: IntArray, b: IntArray) -> Array:
    u, v = points[a] - points[tip], points[b] - points[tip]
    return np.asarray(
        np.arctan2(np.linalg.norm(np.cross(u, v), axis=1), (u * v).sum(axis=1)), dtype=np.float64
    )


def flip_edges(points: Array, triangles: IntArray, rounds: int = 30, max_fold: float = 60.0) -> IntArray:
    """Flip interior edges whose opposite angles sum to more than pi, while the two triangles stay nearly
    flat.

    points (N, 3), triangles (T, 3); returns new triangles (T, 3) of the same orientation. Each round flips
    a set of edges that share no triangle, worst first. An edge whose flip would create an existing edge is
    left alone.
    """
    t = triangles.copy()
    cos_fold = np.cos(np.radians(max_fold))
    size = int(points.shape[0])
    for _ in range(rounds):
        count = len(t)
        tail, head, tip = t.T.ravel(), np.roll(t, -1, axis=1).T.ravel(), np.roll(t, -2, axis=1).T.ravel()
        owner = np.tile(np.arange(count), 3)
        key = np.minimum(tail, head) * size + np.maximum(tail, head)
        order = np.argsort(key, kind="stable")
        same = np.flatnonzero(key[order][1:] == key[order][:-1])
        first, second = order[same], order[same + 1]
        a, b, c, d = tail[first], head[first], tip[first], tip[second]
        total = _opposite_angles(points, c, a, b) + _opposite_angles(points, d, a, b)
        # New triangles (c, a, d) and (d, b, c) must keep facing the way the old pair faced.
        n1 = np.cross(points[a] - points[c], points[d] - points[c])
        n2 = np.cross(points[b] - points[d], points[c] - points[d])
        old = np.cross(points[b] - points[a], points[c] - points[a]) + np.cross(
            points[a] - points[b], points[d] - points[b]
        )
        limit = cos_fold * np.linalg.norm(old, axis=1)
        valid = ((n1 * old).sum(1) > limit * np.linalg.norm(n1, axis=1)) & (
            (n2 * old).sum(1) > limit * np.linalg.norm(n2, axis=1)
        )
        exists = np.isin(np.minimum(c, d) * size + np.maximum(c, d), key)
        wanted = np.flatnonzero((total > np.pi + 1e-3) & valid & ~exists)
        if not len(wanted):
            break
        wanted = wanted[np.argsort(-total[wanted], kind="stable")]
        rank = np.full(count, len(wanted))
        place = np.arange(len(wanted))
        one, two = owner[first[wanted]], owner[second[wanted]]
        np.minimum.at(rank, one, place)
        np.minimum.at(rank, two, place)
        chosen = wanted[(rank[one] == place) & (rank[two] == place)]
        # Two flips of one round must not create the same edge.
        new_key = np.minimum(c[chosen], d[chosen]) * size + np.maximum(c[chosen], d[chosen])
        chosen = chosen[np.unique(new_key, return_index=True)[1]]
        t[owner[first[chosen]]] = np.column_stack([c[chosen], a[chosen], d[chosen]])
        t[owner[second[chosen]]] = np.column_stack([d[chosen], b[chosen], c[chosen]])
    return t
