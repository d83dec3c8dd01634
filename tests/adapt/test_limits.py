"""Section 3, sizes before allocation: zip, gzip, npz and torch files that claim more than the files hold."""

import gzip
import io
import struct
import zipfile
import zlib

import numpy
import pytest
import torch

from adapt import store
from tests.memory import within_limits

MIB = 1 << 20


def test_a_gzip_file_within_and_beyond_the_limit(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"one") + gzip.compress(b" two"))
    assert store.unpacked(path, cost=1) == b"one two"
    with path.open("wb") as file, gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packed:
        for _ in range(80):
            packed.write(bytes(MIB))
    with within_limits(path), pytest.raises(store.TooLarge, match="the unpacked content needs 524,288 bytes"):
        store.unpacked(path, cost=1)
    path.write_bytes(gzip.compress(bytes(MIB)))
    with pytest.raises(store.TooLarge):
        store.unpacked(path, cost=70)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(EOFError):
        store.unpacked(path, cost=1)


def zipped(path, files, change=lambda raw: raw):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in files.items():
            archive.writestr(name, raw)
    path.write_bytes(change(path.read_bytes()))
    return path


def test_a_zip_file_that_unpacks_to_more_than_it_says(tmp_path):
    """The table of contents says 100 bytes, the content has 200 MiB."""
    raw = bytes(200 * MIB)
    size, check = struct.pack("<L", len(raw)), struct.pack("<L", zlib.crc32(raw))
    small = struct.pack("<L", zlib.crc32(raw[:100]))
    path = zipped(
        tmp_path / "a.zip",
        {"a": raw},
        lambda whole: whole.replace(size, struct.pack("<L", 100)).replace(check, small),
    )
    with within_limits(path), store.open_zip(path) as archive:
        assert archive.read("a") == raw[:100]
    path = zipped(tmp_path / "b.zip", {"a": raw})
    with within_limits(path), store.open_zip(path) as archive, pytest.raises(store.TooLarge, match="`a` needs 209,715"):
        archive.read("a")


def test_a_zip_file_whose_files_are_together_too_large(tmp_path):
    path = zipped(tmp_path / "a.zip", {"a": bytes(40 * MIB), "b": bytes(40 * MIB)})
    with store.open_zip(path) as archive:
        archive.read("a")
        with pytest.raises(store.TooLarge, match="`b` needs"):
            archive.read("b")


def test_a_zip_file_that_is_a_table_of_contents_alone(tmp_path):
    path = zipped(tmp_path / "a.zip", {str(i): b"" for i in range(100)})
    path.write_bytes(bytes(8 * MIB) + path.read_bytes())
    end = bytearray(path.read_bytes())
    end[-10:-6] = struct.pack("<L", 7 * MIB)
    path.write_bytes(end)
    with pytest.raises(store.TooLarge, match="the table of contents needs"), store.open_zip(path):
        pass


def test_a_zip_file_packed_in_another_way(tmp_path):
    """A file packed with lzma may ask for a dictionary of 4 GiB."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", b"one")
    with store.open_zip(tmp_path / "a.zip") as archive, pytest.raises(ValueError, match="expected stored or deflated"):
        archive.read("a")


@pytest.mark.parametrize(
    "array",
    [
        numpy.arange(6.0).reshape(2, 3), numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3)), numpy.float32(3),
        numpy.arange(3, dtype=">i4"), numpy.array([True]), numpy.zeros((2, 0)), numpy.arange(3, dtype="c8"),
        numpy.arange(300_000, dtype="u2"),
    ],
    ids=["float64", "Fortran", "a number", "big-endian", "bool", "empty", "complex", "several blocks"],
)  # fmt: skip
@pytest.mark.parametrize("save", [numpy.savez, numpy.savez_compressed])
def test_arrays_are_those_of_numpy(tmp_path, array, save):
    save(tmp_path / "a.npz", first=array, second=array[..., None])
    found = store.arrays(tmp_path / "a.npz")
    assert list(found) == ["first", "second"] and found["first"].dtype.isnative
    numpy.testing.assert_array_equal(found["first"], array)
    numpy.testing.assert_array_equal(found["second"], array[..., None])
    assert list(store.arrays(tmp_path / "a.npz", ["second"])) == ["second"]
    torch.from_numpy(found["first"])


def npy(header, body=b""):
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + body


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (268435456,), }"), "claims the shape"),
        (npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", bytes(8)), "no array of numbers"),
        (npy(b"{'descr': '<U4', 'fortran_order': False, 'shape': (1,), }", bytes(16)), "no array of numbers"),
        (npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"), "no array of numbers"),
        (npy(b"-" * 9000 + b"1"), "no array of numbers"),
        (npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", bytes(9)), "claims the shape"),
        (b"", "no array of numbers"),
    ],
    ids=["2 GiB", "objects", "texts", "negative", "an expression", "a byte more", "empty"],
)
def test_arrays_that_are_not_what_they_say(tmp_path, content, message):
    path = zipped(tmp_path / "a.npz", {"a.npy": content})
    with within_limits(path), pytest.raises(ValueError, match=message):
        store.arrays(path)
    with pytest.raises(KeyError, match="no array b among a.npy"):
        store.arrays(path, ["b"])


def test_torch_files_are_read_as_torch_reads_them(tmp_path):
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    wide = torch.randn(6, 5)
    content = {
        "state": module.state_dict(), "optimizer": optimizer.state_dict(), "view": wide[2:4, 1:3].T, "none": None,
        "half": wide.half(), "complex": wide + 1j, "number": 10**30, "texts": ["a", ("b", 1.5)], "shape": wide.shape,
        "empty": torch.zeros(0, 3), "parameter": module.weight, "dtype": torch.bfloat16, "set": {1, 2},
    }  # fmt: skip
    for modern in (True, False):
        torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=modern)
        torch.testing.assert_close(store.load_torch(tmp_path / "a.pt")["view"], wide[2:4, 1:3].T, rtol=0, atol=0)
        assert store.load_torch(tmp_path / "a.pt").keys() == content.keys()


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"K\x04\x85", b"J\x00\x00\x00\x08\x85", "larger than its storage"),
        (b"K\x04\x85q\x08K\x01\x85", b"J\x00\x00\x00\x08\x85q\x08K\x00\x85", "needs 536,870,912 bytes"),
        (b"K\x04tq", b"J\x00\x00\x00\x08tq", "record size|claim 536870912 bytes"),
        (b"torch FloatStorage", b"torch FloatTensor", "asks for `torch.FloatTensor`"),
        (b"collections OrderedDict", b"builtins bytearray", "asks for `builtins.bytearray`"),
        (b"K\x04tq\x07", b"K\x04tr\xff\xff\xff\x7f", "at place 2147483647"),
    ],
    ids=["shape", "strides of 0", "storage", "tensor by number", "bytes by number", "place"],
)
def test_a_torch_file_with_false_sizes(tmp_path, modern, old, new, message):
    path = tmp_path / "a.pt"
    torch.save({"a": torch.arange(4.0)}, path, _use_new_zipfile_serialization=modern)
    old, new = (part.replace(b" ", b"\n") for part in (old, new))
    if not modern:
        content = path.read_bytes()
        old = old.replace(b"K\x04tq\x07", b"NtQ") if message.startswith("at place") else old
        old, new = (part.replace(b"K\x04tq", b"K\x04Nt") if "record" in message else part for part in (old, new))
        new = new.replace(b"J\x00\x00\x00\x08tq", b"J\x00\x00\x00\x08Nt")
        if old not in content:
            pytest.skip("the older format writes these bytes in another way")
        path.write_bytes(content.replace(old, new))
    else:
        parts = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
        with zipfile.ZipFile(path, "w") as archive:
            for name in parts.namelist():
                raw = parts.read(name)
                assert not name.endswith("data.pkl") or old in raw
                archive.writestr(name, raw.replace(old, new) if name.endswith("data.pkl") else raw)
    with within_limits(path), pytest.raises((ValueError, RuntimeError, EOFError), match=message):
        store.load_torch(path)
