"""Files of `torch.save`, of both layouts: read as torch reads them, or refused, whatever is in them."""

import io
import pickle
import pickletools
import random
import struct
import zipfile
from collections import OrderedDict

import pytest
import torch
from twodasl.errors import InputError
from twodasl.io.torch_files import read_saved
from twodasl.io.torch_pickle import TensorUnpickler

KINDS = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8")


def content():
    torch.manual_seed(0)
    whole = torch.randn(4, 6)
    layer = torch.nn.BatchNorm2d(3)
    return {
        **{kind: torch.arange(5).to(getattr(torch, kind)) for kind in KINDS},
        "views": [whole, whole.t(), whole[1:3, ::2], whole[0, 0]],
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "state": layer.state_dict(),
        "ordered": OrderedDict(b=1, a=2),
        "plain": [None, True, -1, 1 << 40, 1.5, "ä", ("x", (2,)), {3: [], "y": {}}],
        "size": torch.Size([2, 3]),
    }


def read(path):
    return read_saved(path, "a file of tensors", "give another")


def write(path, value, legacy=False):
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path


def same(first, second):
    if isinstance(second, torch.Tensor):
        return (
            first.dtype == second.dtype and first.stride() == second.stride() and torch.equal(first, second)
        )
    if isinstance(second, dict):
        return list(first) == list(second) and all(same(first[key], second[key]) for key in second)
    if isinstance(second, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return type(first) is type(second) and first == second


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_it_reads_what_torch_reads(tmp_path, legacy):
    path = write(tmp_path / "x.pt", content(), legacy)
    found = read(path)
    assert same(found, torch.load(path, weights_only=True))
    assert found["views"][0].data_ptr() == found["views"][1].data_ptr()
    found["views"][0].zero_()  # its own memory


def test_files_from_before_torch_0_4(tmp_path):
    """Parameters made by NEWOBJ with a state, storages that are part of another, strings of Python 2."""
    whole = b"(U\x07storageq\x01ctorch\nFloatStorage\nq\x02U\x011U\x03cpuK\x08"
    tensor = b"ctorch._utils\n_rebuild_tensor\n(%stQK\x00K\x02\x85K\x01\x85tR"
    view = tensor % (whole + b"U\x012K\x04K\x02\x87")
    first = b"ctorch.nn.parameter\nParameter\n" + tensor % (whole + b"N") + b"\x85\x81N\x89\x88\x87b"
    second = b"ctorch\nFloatTensor\n)\x81(" + whole + b"NtQK\x06K\x02\x85K\x01\x85tb"
    program = b"\x80\x02}(U\x01a" + first + b"U\x01b" + view + b"U\x01c" + second + b"u."
    head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]
    parts = [pickle.dumps(value, 2) for value in head] + [program, pickle.dumps(["1"], 2)]
    path = tmp_path / "old.pth"
    path.write_bytes(b"".join(parts) + struct.pack("<q8f", 8, *range(8)))
    assert {key: value.tolist() for key, value in read(path).items()} == {
        "a": [0, 1],
        "b": [4, 5],
        "c": [6, 7],
    }


def archive(path, program, storage=bytes(16), **changes):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", b"\x80\x02" + program)
        file.writestr("x/data/0", storage)
        for key, value in changes.items():
            setattr(file.infolist()[1], key, value)
    return path


def tensor(size, stride, offset=0, count=4):
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu%stQ" % number(count)
    sizes = b"".join(b"(" + b"".join(map(number, values)) + b"t" for values in (size, stride))
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + sizes + b"\x89NtR"


def number(value):
    return pickle.dumps(value, 2)[2:-1]


HUGE = 10**11
KEYS = b"q\x00" + b"h\x00h\x00\x86q\x00" * 60
PROGRAMS = {
    "memory for bytes": b"cbuiltins\nbytearray\n" + number(HUGE) + b"\x85R",
    "a tensor of a size": b"}X\x01\0\0\0actorch\nFloatTensor\n" + number(HUGE) + b"\x85Rs",
    "expanded": tensor([HUGE], [0]),
    "beyond its storage": tensor([4], [1], offset=1),
    "backwards": tensor([4], [-1], offset=3),
    "nothing, of absurd sizes": tensor([1 << 62, 1 << 62, 0], [1, 1, 1]),
    "another storage's size": tensor([5], [1], count=5),
    "taken apart": b"ctorch\nSize\n" + tensor([4], [1]) + b"R",
    "entries into a tensor": tensor([4], [1]) + number(0) + number(1) + b"s",
    "lists in lists": b"]q\x00" + b"]q\x01(h\x00h\x00eq\x00" * 60,
    "a list in itself": b"]q\x00h\x00a",
    "nested too deep": b"]" + b"\x85" * 3000,
    "keys that take for ever": b"})" + KEYS + b"K\x01s",
    "a class": b"ctorch\nFloatStorage\n",
    "a number beyond 64 bits": number(1 << 64),
    "nothing": b"",
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_that_asks_for_more_than_its_file(tmp_path, program):
    with pytest.raises(InputError, match=r"x\.pt: (is not a file of tensors, |holds pickled objects)"):
        read(archive(tmp_path / "x.pt", program + b"."))


def test_the_program_alone_is_fine(tmp_path):
    assert read(archive(tmp_path / "x.pt", tensor([2, 2], [2, 1]) + b".")).shape == (2, 2)


@pytest.mark.parametrize(
    "changes",
    [{"file_size": 1 << 40}, {"flag_bits": 1}, {"compress_type": 12}, {"compress_size": 3}, {"CRC": 1}],
    ids=["size", "encrypted", "bzip2", "short", "checksum"],
)
def test_a_directory_that_lies(tmp_path, changes):
    with pytest.raises(InputError, match=r"x\.pt: is not a file of tensors, or is damaged"):
        read(archive(tmp_path / "x.pt", tensor([4], [1]) + b".", **changes))


def test_compressed_storages_are_not_inflated(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(zipfile.ZipFile, "open", refuse)
    with zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED) as file:
        monkeypatch.undo()
        file.writestr("x/data.pkl", b"\x80\x02" + tensor([1 << 20], [1], count=1 << 20) + b".")
        file.writestr("x/data/0", bytes(4 << 20))
    monkeypatch.setattr(zipfile.ZipFile, "open", refuse)
    with pytest.raises(InputError, match="claim more than the file holds"):
        read(tmp_path / "x.pt")


def test_a_legacy_storage_that_claims_more_than_the_file(tmp_path, monkeypatch):
    path = write(tmp_path / "x.pt", {"a": torch.zeros(4)}, legacy=True)
    path.write_bytes(path.read_bytes().replace(b"K\x04N", number(HUGE) + b"N"))
    with pytest.raises(InputError, match="damaged"):
        read(path)


def damaged(data, rng):
    """Bytes with a bit flipped, a few replaced, or a part cut out or doubled."""
    data, place = bytearray(data), rng.randrange(len(data))
    kind = rng.randrange(4)
    if kind == 0:
        data[place] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[place : place + 4] = rng.choice(
            [b"\0\0\0\0", b"\xff" * 4, b"\xff\xff\xff\x7f", rng.randbytes(4)]
        )
    elif kind == 2:
        del data[place : place + rng.randrange(1, 40)]
    else:
        data[place:place] = data[: rng.randrange(1, 40)]
    return bytes(data)


def rewritten(program, rng):
    """A pickle of which an instruction is left out, doubled, exchanged, or replaced."""
    places = [place for _, _, place in pickletools.genops(program)]
    parts = [program[start:end] for start, end in zip(places, [*places[1:], len(program)], strict=True)]
    one, other = rng.randrange(len(parts)), rng.randrange(len(parts))
    kind = rng.randrange(4)
    if kind == 0:
        del parts[one]
    elif kind == 1:
        parts.insert(one, parts[other])
    elif kind == 2:
        parts[one], parts[other] = parts[other], parts[one]
    else:
        parts[one] = rng.choice(
            [b"N", b"]", b"}", b")", b"K\xff", b"R", b"b", b"\x81", b"Q", b"0", b"2", b"u"]
        )
    return b"".join(parts)


SMALL = {
    "a": {"b": torch.ones(3)},
    "n": [1, 2.5, "text", (None, True)],
    "p": torch.nn.Parameter(torch.ones(2)),
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_damaged_bytes_are_an_input_error_or_what_was_written(tmp_path, legacy):
    whole = write(tmp_path / "whole.pt", SMALL, legacy).read_bytes()
    rng, path, refused = random.Random(3), tmp_path / "x.pt", 0
    for _ in range(250):
        path.write_bytes(damaged(whole, rng))
        try:
            found = read(path)
            assert legacy or same(found, torch.load(tmp_path / "whole.pt", weights_only=True))
        except InputError:
            refused += 1
    assert refused > 80


def test_rewritten_programs_with_right_checksums(tmp_path):
    with zipfile.ZipFile(write(tmp_path / "whole.pt", SMALL)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    rng, path, refused = random.Random(4), tmp_path / "x.pt", 0
    for turn in range(250):
        with zipfile.ZipFile(path, "w") as file:
            for name, data in members.items():
                change = rewritten if turn % 2 else damaged
                file.writestr(name, change(data, rng) if name.endswith("data.pkl") else data)
        try:
            read(path)
        except InputError:
            refused += 1
    assert refused > 80


def test_no_name_but_tensors_can_be_reached():
    for program in (
        b"cos\nsystem\n.",
        b"cbuiltins\neval\n.",
        b"ctorch\nload\n.",
        b"ctorch.nn.parameter\nBuffer\n.",
    ):
        with pytest.raises(InputError):
            TensorUnpickler(io.BytesIO(b"\x80\x02" + program), lambda *_: torch.zeros(0)).load_plain()
