"""Pickles byte by byte, as Python 2, chumpy and torch wrote them, without any of the three."""

import struct

import numpy as np


class Pickled:
    """Writes protocol 2 by hand, as Python 2 did: `bytes` are its strings, objects are class and state."""

    def __init__(self, value):
        self.out = [b"\x80\x02"]
        self.put(value)
        self.content = b"".join([*self.out, b"."])

    def put(self, value):
        if value is None:
            self.out.append(b"N")
        elif isinstance(value, bool):
            self.out.append(b"\x88" if value else b"\x89")
        elif isinstance(value, int):
            self.out.append(b"J" + struct.pack("<i", value))
        elif isinstance(value, str | bytes):
            value = value.encode("latin1") if isinstance(value, str) else value
            self.out.append(b"T" + struct.pack("<i", len(value)) + value)
        elif isinstance(value, tuple):
            self.out.append(b"(")
            for item in value:
                self.put(item)
            self.out.append(b"t")
        elif isinstance(value, dict):
            self.out.append(b"}(")
            for key, item in value.items():
                self.put(key)
                self.put(item)
            self.out.append(b"u")
        elif isinstance(value, np.ndarray):
            self.array(value)
        else:
            value(self)

    def name(self, module, name):
        self.out.append(f"c{module}\n{name}\n".encode())

    def array(self, value):
        self.name("numpy.core.multiarray", "_reconstruct")
        self.out.append(b"(")
        self.name("numpy", "ndarray")
        self.put((0,))
        self.put("b")
        self.out.append(b"tR(")
        self.put(1)
        self.put(value.shape)
        self.name("numpy", "dtype")
        self.put((value.dtype.str[1:], 0, 1))
        self.out.append(b"R")
        self.put((3, "<", None, None, None, -1, -1, 0))
        self.out.append(b"b")
        self.put(False)
        self.put(value.tobytes())
        self.out.append(b"tb")


def instance(module, name, state, arguments=()):
    """An object of a new-style class: its name, NEWOBJ, its state."""

    def put(writer):
        writer.name(module, name)
        writer.put(arguments)
        writer.out.append(b"\x81")
        writer.put(state)
        writer.out.append(b"b")

    return put


def call(module, name, arguments):
    def put(writer):
        writer.name(module, name)
        writer.put(arguments)
        writer.out.append(b"R")

    return put


def empty_list(writer):
    writer.out.append(b"]")


def chumpy(array):
    """chumpy.ch.Ch, with the bookkeeping of its __getstate__."""
    dirty = call("__builtin__", "set", (empty_list,))
    return instance("chumpy.ch", "Ch", {"x": array, "_dirty_vars": dirty, "_itr": None, "_make_dense": False})


def write_object(path, value):
    """What np.save writes for a dict: an array without dimensions, of one object, pickled."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + b"\n"

    def put(writer):
        writer.name("numpy.core.multiarray", "_reconstruct")
        writer.out.append(b"(")
        writer.name("numpy", "ndarray")
        writer.put((0,))
        writer.put("b")
        writer.out.append(b"tR(")
        writer.put(1)
        writer.put(())
        writer.name("numpy", "dtype")
        writer.put(("O8", 0, 1))
        writer.out.append(b"R")
        writer.put((3, "|", None, None, None, -1, -1, 63))
        writer.out.append(b"b")
        writer.put(False)
        writer.out.append(b"](")
        writer.put(value)
        writer.out.append(b"etb")

    prefix = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    path.write_bytes(prefix + Pickled(put).content)
