"""Section 3, hostile files: the readers of data sets refuse files that claim more than they hold, or lie otherwise."""

import gzip
import io
import zlib

import numpy
import pytest
from PIL import Image
from scipy.io import savemat

from adapt import datasets
from adapt.datasets import files
from adapt.datasets.matlab import read_matlab
from tests.adapt.datasets.small_files import write_digits, write_npz, write_zip
from tests.memory import within_limits

MIB = 1 << 20


def picture(kind, size=(6_000, 6_000)):
    """A picture of one colour: a file of about 100 KB that becomes 103 MiB."""
    file = io.BytesIO()
    Image.new("RGB", size, (1, 2, 3)).save(file, kind)
    return file.getvalue()


def test_a_packed_file_of_digits_that_grows(tmp_path):
    """Section 3: idx.gz to gigabytes; and a header that claims another shape than the bytes."""
    write_digits(tmp_path)
    path = tmp_path / "mnist_t10k" / "t10k-images-idx3-ubyte.gz"
    head = b"\0\0\x08\x03" + numpy.array([3, 28, 28], ">i4").tobytes()
    path.write_bytes(gzip.compress(head + bytes(100 * MIB), 1))
    with within_limits(path), pytest.raises(ValueError, match="t10k-images.*gz` cannot be read.*bytes of memory"):
        datasets.mnist(root=tmp_path)
    for sizes in ([2, 28, 28], [4, 28, 28], [3, -1, 28], [2**31 - 1] * 3):
        head = b"\0\0\x08\x03" + numpy.array(sizes, ">i4").tobytes()
        path.write_bytes(gzip.compress(head + bytes(3 * 28 * 28)))
        with pytest.raises(ValueError, match="the header claims the shape .* and 2352 bytes are there"):
            datasets.mnist(root=tmp_path)


def test_an_npz_file_that_grows(tmp_path):
    """Section 3: 100 MiB of zeros in a file of 100 KB."""
    (tmp_path / "usps").mkdir()
    path = tmp_path / "usps" / "usps.npz"
    labels = numpy.zeros(400_000, "u1")
    numpy.savez_compressed(path, x_train=numpy.zeros((400_000, 16, 16), "u1"), y_train=labels)
    with within_limits(path), pytest.raises(ValueError, match="usps.npz` cannot be read.*needs 614,400,000 bytes"):
        datasets.usps(root=tmp_path)


def test_an_image_in_a_zip_file_that_grows(tmp_path):
    """Section 3: JPEG in a zip to gigabytes, and an image of another size than the set has."""
    for raw, message in (
        (picture("JPEG"), "6000 x 6000 pixels needs"),
        (picture("JPEG", (16, 16)), r"\(3, 16, 16\)"),
    ):
        write_zip(tmp_path, "cifar10_jpg", "cifar10_subset.zip", {"set/train/cat/1.jpg": raw})
        with pytest.raises(ValueError, match=f"cifar10_subset.zip` cannot be read.*{message}"):
            datasets.cifar10_jpg(root=tmp_path)
    write_zip(tmp_path, "omniglot_small", "images_background_small1.zip", {"A/character01/1_01.png": picture("PNG")})
    with pytest.raises(ValueError, match="small1.zip` cannot be read.*`A/character01/1_01.png`: an image of 6000"):
        datasets.omniglot(root=tmp_path)


def test_an_image_file_that_grows(tmp_path):
    """Section 3: PNG to 347 MiB."""
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "1.png"
    path.write_bytes(picture("PNG"))
    with (
        within_limits(path),
        pytest.raises(ValueError, match="a/1.png` cannot be read as an image: .*needs 144,000,000"),
    ):
        datasets.images(tmp_path)[0]


def test_a_file_that_pillow_would_run_a_program_for(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    )
    with pytest.raises(ValueError, match="a/1.png` cannot be read as an image"):
        datasets.images(tmp_path)[0]


def school(path, packed):
    cells = numpy.empty((1, 2), object)
    cells[0, :] = [numpy.arange(6.0).reshape(2, 3), numpy.ones((1, 3), "u1")]
    numbers = numpy.arange(6, dtype="i2").reshape(3, 2)
    savemat(path, {"X": cells, "a": numbers, "text": "abc", "b": 2.5}, do_compression=packed)


@pytest.mark.parametrize("packed", [False, True])
def test_matlab_files_are_read_as_scipy_reads_them(tmp_path, packed):
    path = tmp_path / "a.mat"
    school(path, packed)
    cells, numbers, number = read_matlab(path, "X", "a", "b")
    assert [part.tolist() for part in cells] == [[[0, 1, 2], [3, 4, 5]], [[1, 1, 1]]]
    assert numbers.tolist() == [[0, 1], [2, 3], [4, 5]] and numbers.dtype == "i2" and number.tolist() == [[2.5]]
    for name, message in (("text", "`text` is no array of real numbers"), ("c", "no variable c")):
        with pytest.raises(ValueError, match=message):
            read_matlab(path, name)


def test_a_changed_matlab_file_is_read_or_refused(tmp_path):
    """Section 3: a changed byte made scipy's reader end the process."""
    path = tmp_path / "a.mat"
    school(path, False)
    raw = path.read_bytes()
    for at in range(128, len(raw)):
        for value in (0, 255):
            path.write_bytes(raw[:at] + bytes([value]) + raw[at + 1 :])
            try:
                read_matlab(path, "X", "a")
            except ValueError:
                pass
    for end in range(len(raw) - 1):
        path.write_bytes(raw[:end])
        with pytest.raises(ValueError):
            read_matlab(path, "X", "b")


def test_a_packed_matlab_file_that_grows(tmp_path):
    path = tmp_path / "a.mat"
    school(path, True)
    packed = zlib.compress(bytes(100 * MIB), 1)
    path.write_bytes(path.read_bytes()[:128] + b"\x0f\0\0\0" + len(packed).to_bytes(4, "little") + packed)
    with within_limits(path), pytest.raises(ValueError, match="a packed variable needs"):
        read_matlab(path, "a")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": numpy.full((2, 16, 16), numpy.nan), "y": [0, 1]}, "row 0 holds a value that is not finite"),
        ({"x": numpy.ones((2, 16, 16)) * 1j, "y": [0, 1]}, "complex"),
        ({"x": numpy.ones((2, 3)), "y": [0, 1]}, r"rows of the shape \(1, 3\), expected \(1, 16, 16\)"),
        ({"x": numpy.ones((2, 16, 16)), "y": [0.5, 1]}, "labels 0.5 to 1, not 0 to 9"),
        ({"x": numpy.ones((2, 16, 16)), "y": [numpy.nan, 1]}, "labels nan to nan, not 0 to 9"),
        ({"x": numpy.ones((2, 16, 16)), "y": ["a", "b"]}, "no array of numbers"),
    ],
)
def test_arrays_of_another_kind(tmp_path, arrays, message):
    """Section 3: NaN, complex numbers, labels that are no whole numbers."""
    write_npz(tmp_path / "semeion" / "semeion.npz", **arrays)
    with pytest.raises(ValueError, match=f"semeion.npz` cannot be read.*{message}"):
        datasets.semeion(root=tmp_path)


def test_rows_of_a_published_file_are_counted():
    """Section 3: a file cut at the end of a row, against the published number of rows."""
    published = {files.mark("a"): (3, files.mark("c"))}
    files.complete(["a", "b", "c"], published)
    files.complete(["b", "c"], published)  # another file
    for rows in (["a", "b"], ["a", "b", "x"], ["a", "b", "c", "c"]):
        with pytest.raises(ValueError, match=f"found {len(rows)} rows, and the published file has 3"):
            files.complete(rows, published)


@pytest.mark.data
@pytest.mark.parametrize(
    ("reader", "pattern"),
    [
        (datasets.multi30k, "multi30k/val.*.gz"), (datasets.ud_pud, "ud_pud/*.gz"),
        (datasets.heart_disease, "heart_disease/*.data"), (datasets.wisdm_transformed, "wisdm_transformed/*.arff"),
    ],
)  # fmt: skip
def test_real_text_files_cut_at_the_end_of_a_row(tmp_path, reader, pattern):
    """Section 3: all languages cut at one row agree with each other, and not with the published number of rows."""
    folder = datasets.data_file(pattern.split("/")[0])
    (tmp_path / folder.name).mkdir()
    for path in folder.iterdir():
        (tmp_path / folder.name / path.name).write_bytes(path.read_bytes())
    reader(tmp_path)
    for path in tmp_path.glob(pattern):
        packed = path.suffix == ".gz"
        text = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
        end = b"\n\n" if "conllu" in path.name else b"\n"
        text = end.join(text.strip().split(end)[:-5]) + end
        path.write_bytes(gzip.compress(text) if packed else text)
    with pytest.raises(ValueError, match="cannot be read.*the published file has"):
        reader(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"x,y\n" + b"1," * (3 * MIB), "line 2 has 2097152 letters or more"),
        ("a.csv", b"x," * (3 * MIB), "line 1 has 2097152 letters or more"),
        ("a.csv", b'x,y\n1,2\n"3,4\n5,6\n', "line 4: unexpected end of data"),
        ("a.csv", b'x,y\n1,2\n3,"4"5\n', "line 3: ',' expected after '\"'"),
        ("a.csv", b"x,y\n1,2\n3,\xff\n", "utf-8"),
        ("a.csv", b"x\n" + b"y" * 200_000, "line 2: field larger than field limit"),
        ("a.jsonl", b"[" * MIB, "line 1: .*recursion"),
        ("a.jsonl", b'{"x": 1}\n' + b'{"x": ' * 50_000, "line 2: .*recursion"),
        ("a.jsonl", b'{"x": 1, "x": 2}', "line 1: a key occurs twice"),
        ("a.jsonl", b'{"x": 1}\n{"x": ', "line 2: "),
        ("a.jsonl", b"[1]\n[2]", "line 1 must have the keys"),
    ],
)
def test_tables_that_are_not_what_they_say(tmp_path, name, content, message):
    """Section 3: a text of one line, deep json, a quotation mark that swallows the rows behind."""
    path = tmp_path / name
    path.write_bytes(content)
    with within_limits(path), pytest.raises(ValueError, match=f"{name}` cannot be read as .*{message}"):
        datasets.table(path)


@pytest.mark.parametrize("read", [datasets.table, lambda path, **options: datasets.texts(path, text="x", **options)])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.txt"])
def test_tables_cut_at_the_end_of_a_row(tmp_path, read, name):
    """Section 3: a csv file cut at the end of a row, against a stated count."""
    if name == "a.txt" and read is datasets.table:
        pytest.skip("a table is no list of texts")
    rows = ['{"x": "one"}', '{"x": "two"}'] if name == "a.jsonl" else ["one", "two"]
    head = ["x"] if name in ("a.csv", "a.tsv") else []
    path = tmp_path / name
    path.write_text("\n".join(head + rows) + "\n")
    assert len(read(path, count=2)) == 2
    path.write_text("\n".join(head + rows[:1]) + "\n")
    assert len(read(path)) == 1
    with pytest.raises(ValueError, match="expected 2 rows, found 1|must have 2 texts"):
        read(path, count=2)


def test_texts_of_a_txt_file_are_its_lines(tmp_path):
    """A rare separator inside a text is no end of a line; letters of another encoding name the file."""
    (tmp_path / "a.txt").write_text("one\u2028two\x0b\nthree\n", encoding="utf-8")
    assert datasets.texts(tmp_path / "a.txt").texts == ["one\u2028two\x0b", "three"]
    (tmp_path / "a.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(ValueError, match="a.txt` cannot be read as texts of utf-8"):
        datasets.texts(tmp_path / "a.txt")


VOC = b"<annotation><filename>1.png</filename><object><name>a</name><bndbox><xmin>%s</xmin><ymin>1</ymin><xmax>3</xmax>"
VOC += b"<ymax>3</ymax></bndbox></object></annotation>"
COCO = b'{"images": [{"id": 1, "file_name": "1.png"}], "categories": [{"id": 1, "name": "a"}], "annotations": [%s]}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (VOC % b"nan", "not finite"),
        (VOC % b"1e999", "not finite"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]>' + VOC % b"&b;", "declares an entity"),
        (b"<a>" * 1_000_000, "the elements needs 120,000,000 bytes"),
        (COCO % b'{"image_id": 1, "category_id": 1, "bbox": [NaN, 0, 1, 1]}', "not finite"),
        (COCO % b'{"image_id": 1, "category_id": 1}', "entry 0 of annotations must have bbox, category_id, image_id"),
        (COCO % b"[]", "entry 0 of annotations must have"),
        (COCO % (b"[" * 100_000), "recursion"),
        ((COCO % b"").replace(b"1.png", b"1" * 5000), "an image has a name of 5000 letters"),
        (COCO % (b"[]," * 1_000_000), "the lists needs 120,000,"),
    ],
    ids=range(10),
)
def test_annotations_that_are_not_what_they_say(tmp_path, content, message):
    """Section 3: elements and lists that take 40 times the file, entities, sides that are not finite."""
    Image.new("RGB", (4, 4)).save(tmp_path / "1.png")
    path = tmp_path / "voc" / "1.xml" if content.startswith(b"<") else tmp_path / "coco.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    source = path.parent if path.suffix == ".xml" else path
    with within_limits(path), pytest.raises(ValueError, match=f"{path.name}` cannot be read as.*{message}"):
        datasets.boxes(source, tmp_path)


@pytest.mark.parametrize(
    ("at", "raw", "message"),
    [
        (40, b"\xff\xff\xff\x7f", "claims 2147483647 bytes, and 400 are left"),
        (24, b"\0\0\0\0", "it has 0 samples per second"),
        (24, b"\xff\xff\xff\xff", "it has 4294967295 samples per second"),
        (24, b"\x3f\x42\x0f\0", "the filter from 999999 to 8000 samples per second needs 159,999,840 bytes"),
        (44, numpy.float32(numpy.nan).tobytes(), "a sample that is not finite"),
        (22, b"\0\0", "cannot be read as a recording"),
    ],
)
def test_recordings_that_are_not_what_they_say(tmp_path, at, raw, message):
    """Section 3: sizes and rates that claim gigabytes, no channel, NaN."""
    samples = numpy.zeros(100, "<f4")
    head = b"RIFF" + (36 + 400).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    head += numpy.array([3, 1], "<u2").tobytes() + numpy.array([8000, 32000], "<u4").tobytes()
    head += numpy.array([4, 32], "<u2").tobytes() + b"data" + (400).to_bytes(4, "little")
    whole = bytearray(head + samples.tobytes())
    path = tmp_path / "1.wav"
    path.write_bytes(whole)
    assert len(datasets.audio(tmp_path, rate=8000)[0]) == 100
    whole[at : at + len(raw)] = raw
    path.write_bytes(whole)
    with within_limits(path), pytest.raises(ValueError, match=f"1.wav`.*{message}"):
        datasets.audio(tmp_path, rate=8000)[0]
