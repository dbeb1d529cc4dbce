"""A photo file's metadata: the orientation is read, everything else is removed before decoding.

Decoders parse all metadata of a file (resolutions, comments, color profiles, previews) and fail on the first
problem, although no pixel depends on it. They are therefore given the file without metadata, and the one item
that matters, the EXIF or XMP orientation, is read here. Nothing here raises: bytes that do not fit the format
are left for the decoder to report.
"""

from __future__ import annotations

import re
import struct
import zlib
from itertools import islice

_ORIENTATION = 274
# TIFF tags needed for decoding: sizes, samples, strips and tiles, compression, palette, color space.
_TIFF_TAGS = {
    *(254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324),
    *(325, 332, 334, 338, 339, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532),
}
_PNG_CHUNKS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_NEEDED = re.compile(b"PLTE|IDAT|IEND")
_LONGEST_NOTE = 1 << 20
# How many damaged chunks are passed over, and places tried after each: a checksum may be of the whole file.
_MOST_DAMAGED = 16


def without_notes(data: bytes) -> tuple[bytes, int]:
    """A file's bytes without metadata, and its orientation as EXIF numbers it, 1 to 8.

    Applies to JPEG, PNG, TIFF, and AVIF. For other formats the orientation returned is 1; see `orientation`.
    """
    try:
        if data[:2] == b"\xff\xd8":
            return _jpeg(data)
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return _png(data)
        if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return _tiff(data)
    except (struct.error, IndexError, KeyError, ValueError, OverflowError):
        return data, 1
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        # An orientation item has no effect there: the container's own boxes do.
        entry = rb"(infe(?:\x02.{7}|\x03.{9}))Exif"
        return re.sub(entry, rb"\1free", data[:_LONGEST_NOTE], flags=re.DOTALL) + data[_LONGEST_NOTE:], 1
    return data, 1


def orientation(exif: bytes, xmp: bytes = b"") -> int:
    """Orientation 1 to 8 from a block of EXIF data, else from XMP, else 1."""
    try:
        data = exif.removeprefix(b"Exif\0\0")
        order, start, count, size = _directory(data)
        for place in range(start, min(start + count * size, len(data) - size + 1), size):
            tag, kind = struct.unpack_from(order + "HH", data, place)
            if tag == _ORIENTATION:
                # Offset of an inline value: 8 bytes further, or 12 in a BigTIFF.
                word = {1: "B", 3: "H", 4: "I"}[kind]
                value = struct.unpack_from(order + word, data, place + size - (4 if size == 12 else 8))[0]
                return int(value) if 1 <= value <= 8 else 1
    except (struct.error, KeyError):
        pass
    found = re.search(rb"""tiff:Orientation(?:>|\s*=\s*["'])\s*([1-8])\s*["'<]""", xmp)
    return int(found[1]) if found else 1


def _directory(data: bytes) -> tuple[str, int, int, int]:
    """A TIFF's first directory: byte order, start of its entries, their number, and bytes per entry."""
    order = {b"II": "<", b"MM": ">"}[bytes(data[:2])]
    if struct.unpack_from(order + "H", data, 2)[0] == 43:  # BigTIFF
        place = struct.unpack_from(order + "Q", data, 8)[0]
        return order, place + 8, struct.unpack_from(order + "Q", data, place)[0], 20
    place = struct.unpack_from(order + "I", data, 4)[0]
    return order, place + 2, struct.unpack_from(order + "H", data, place)[0], 12


def _tiff(data: bytes) -> tuple[bytes, int]:
    order, start, count, size = _directory(data)
    end = start + count * size
    if end > len(data):
        return data, 1
    entries = [data[place : place + size] for place in range(start, end, size)]
    kept = [entry for entry in entries if struct.unpack_from(order + "H", entry)[0] in _TIFF_TAGS]
    head, link = ("H", "I") if size == 12 else ("Q", "Q")
    changed = bytearray(data)
    # In place: the kept entries, then no next picture.
    table = b"".join(kept) + struct.pack(order + link, 0)
    first = start - struct.calcsize(head)
    changed[first:start] = struct.pack(order + head, len(kept))
    changed[start : start + len(table)] = table
    return bytes(changed), orientation(data)


def _jpeg(data: bytes) -> tuple[bytes, int]:
    parts, exif, xmp, place = [data[:2]], b"", b"", 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if marker in (0xDA, 0xD9) or marker < 0xC0 or 0xD0 <= marker <= 0xD7:
            break
        length = 2 + struct.unpack_from(">H", data, place + 2)[0]
        segment, body = data[place : place + length], data[place + 4 : place + length]
        if body.startswith(b"Exif\0\0") and not exif:
            exif = body
        elif body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
            xmp = xmp or body
        # Colors depend on two application segments, if they are intact.
        wanted = (marker == 0xE0 and len(body) >= 14) or (marker == 0xEE and len(body) >= 12)
        if wanted or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            parts.append(segment)
        place += length
    return b"".join([*parts, data[place:]]), orientation(exif, xmp)


def _png(data: bytes) -> tuple[bytes, int]:
    parts, exif, xmp, place, samples = [data[:8]], b"", b"", 8, data[25]
    late, damaged = False, 0
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        # A palette of pixels that have their own colors is a note, too.
        needed = kind in _PNG_CHUNKS and (kind != b"PLTE" or samples == 3)
        if not needed and not _is_whole(data, place):
            after = place + 12 + length
            following = after if _is_whole(data, after) else _next_chunk(data, place + 8)
            damaged += 1
            if following is None or damaged > _MOST_DAMAGED:
                break
            place = following
            continue
        if place + 12 + length > len(data):
            break
        body = data[place + 8 : place + 8 + length]
        clear = kind == b"tRNS" and not late and _is_transparency(body, samples)
        late = late or clear or kind == b"IDAT"
        if needed or clear:
            parts.append(data[place : place + 12 + length])
        elif kind == b"eXIf":
            exif = exif or body
        elif kind in (b"tEXt", b"zTXt") and body.startswith(b"Raw profile type exif\0"):
            exif = exif or _raw_profile(body[22:] if kind == b"tEXt" else _inflated(body[23:]))
        elif kind == b"iTXt" and body.startswith(b"XML:com.adobe.xmp\0"):
            text = body[20:].split(b"\0", 2)[-1]
            xmp = xmp or (_inflated(text) if body[18:19] == b"\1" else text)
        place += 12 + length
        if kind == b"IEND":
            break
    return b"".join([*parts, data[place:]]), orientation(exif, xmp)


def _is_whole(data: bytes, place: int) -> bool:
    """Whether a chunk of a PNG begins there, with the checksum that it says."""
    if place + 12 > len(data):
        return False
    end = place + 8 + struct.unpack_from(">I", data, place)[0]
    return data[end : end + 4] == struct.pack(">I", zlib.crc32(memoryview(data)[place + 4 : end]))


def _next_chunk(data: bytes, place: int) -> int | None:
    """Where the next chunk that pixels depend on begins, after one whose length is wrong."""
    found = (match.start() - 4 for match in islice(_NEEDED.finditer(data, place), _MOST_DAMAGED))
    return next((start for start in found if _is_whole(data, start)), None)


def _is_transparency(body: bytes, samples: int) -> bool:
    """Whether a tRNS chunk has the length that pixels of this kind ask for; those with alpha have none."""
    return len(body) <= 256 if samples == 3 else len(body) == {0: 2, 2: 6}.get(samples)


def _inflated(data: bytes) -> bytes:
    """As much decompressed text as could be useful; empty if it is damaged."""
    try:
        return zlib.decompressobj().decompress(data, _LONGEST_NOTE)
    except zlib.error:
        return b""


def _raw_profile(text: bytes) -> bytes:
    """ImageMagick's encoding of EXIF data as text: a name, a length, and hexadecimal lines."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return b""
