"""Damage small valid files of every reader at random: each reader gives a result or its documented error.

    python tests/fuzz.py --minutes 10            ten minutes of processor time for each reader
    python tests/fuzz.py --minutes 1 csv npz     two readers
    python tests/fuzz.py --cases 40              forty files for each reader, as in the tests

A child process reads the files, with a limit on its memory: 4 times the file and 64 MiB above the memory of the
process before, and 64 MiB for the tensors that a reader makes of the content. A crash, another exception and a reader
that asks for more memory are reported with the number of the case: the same seed and number give the same file. Exit 1
after a report.
"""

import argparse
import gzip
import io
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
MIB = 1 << 20
TENSORS = 64 * MIB
MEMORY = ("allocate memory", "MemoryError", "bad_alloc", "can't allocate", "Unable to allocate")
NUMBERS = (b"0", b"-1", b"999999999999", b"2147483648", b"1e999", b"nan", b"1_0", b"0.5")
REPEATED = (b"(", b"[", b'{"a":', b"<a>", b"]", b"\n", b"\0", b'"')
WHOLE = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


class Reader(NamedTuple):
    """`write` puts valid files into a folder and returns the files to damage; `read` reads the folder."""

    write: Callable[[Path], list[Path]]
    read: Callable[[Path], Any]
    errors: tuple[type[Exception], ...] = (ValueError,)


def damaged(raw: bytes, chance: random.Random) -> bytes:
    """Return bytes with one to four random changes."""
    content = bytearray(raw)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        size = len(content)
        at = chance.randrange(size + 1)
        kind = chance.randrange(9)
        if kind == 0 and size:
            content[at % size] ^= 1 << chance.randrange(8)
        elif kind == 1:
            width = chance.choice((1, 2, 4, 8))
            value = chance.choice(WHOLE) & (256**width - 1)
            content[at : at + width] = value.to_bytes(width, chance.choice(("little", "big")))
        elif kind == 2:
            del content[at : at + chance.choice((1, 4, 64, size))]
        elif kind == 3:
            content[at:at] = content[at : at + chance.choice((1, 8, 200))] * chance.choice((1, 2, 50))
        elif kind == 4:
            content[at:at] = chance.randbytes(chance.choice((1, 4, 16)))
        elif kind == 5 and size:
            start = chance.randrange(size)
            content[at : at + 16] = content[start : start + 16]
        elif kind == 6:
            content[at:at] = chance.choice(
                (b"(", b"[", b'{"a":', b"<a>", b"]", b"\n", b"\0", b'"')
            ) * 10 ** chance.randrange(5)
        else:
            found = list(re.finditer(rb"\d+", bytes(content[:20_000])))
            if found:
                place = chance.choice(found)
                content[place.start() : place.end()] = chance.choice(NUMBERS)
    return bytes(content)


def damaged_inside(raw: bytes, chance: random.Random) -> bytes:
    """Return a packed file with damage inside and right check sums; any other file with damage anywhere."""
    if chance.random() < 0.3:
        return damaged(raw, chance)
    if raw[:2] == b"\x1f\x8b":
        return gzip.compress(damaged(gzip.decompress(raw), chance), 1)
    if raw[:4] == b"PK\3\4":
        inside, out = zipfile.ZipFile(io.BytesIO(raw)), io.BytesIO()
        chosen = chance.choice(inside.namelist())
        with zipfile.ZipFile(
            out, "w", zipfile.ZIP_DEFLATED if chance.random() < 0.3 else zipfile.ZIP_STORED
        ) as archive:
            for name in inside.namelist():
                content = inside.read(name)
                archive.writestr(name, damaged(content, chance) if name == chosen else content)
        return out.getvalue()
    return damaged(raw, chance)


def below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def readers() -> dict[str, Reader]:
    """Return all readers by name."""
    import numpy
    import torch
    from PIL import Image
    from safetensors.torch import save_file
    from scipy.io import savemat, wavfile
    from torch import nn

    from adapt import Model, datasets, encoders, engine, heads, store
    from adapt.engine import checkpoint, model_folder
    from adapt.engine.recipes import NoRecipe
    from tests.adapt.datasets import (
        small_files,
        test_boxes,
        test_entities,
        test_languages,
        test_markets,
        test_reviews,
        test_sentence_pairs,
        test_tables,
    )

    def written(name: str, content: bytes | str) -> Callable[[Path], list[Path]]:
        def write(folder: Path) -> list[Path]:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            return [path]

        return write

    def made(write: Callable[[Path], Any]) -> Callable[[Path], list[Path]]:
        def both(folder: Path) -> list[Path]:
            write(folder)
            return below(folder)

        return both

    def picture(kind: str, mode: str = "RGB", size: tuple[int, int] = (32, 32)) -> bytes:
        file = io.BytesIO()
        pixels = numpy.random.default_rng(0).integers(0, 9, (size[1], size[0], 3), "uint8")
        Image.fromarray(pixels).convert(mode).save(file, kind)
        return file.getvalue()

    def recording() -> bytes:
        file = io.BytesIO()
        wavfile.write(file, 8000, numpy.arange(-100, 100, dtype="int16"))
        return file.getvalue()

    def every(kind: str) -> Callable[[Path], list[Path]]:
        return written(f"a/1.{kind.lower()}", picture(kind))

    def matlab(path: str, **arrays: Any) -> Callable[[Path], list[Path]]:
        def write(folder: Path) -> list[Path]:
            (folder / path).parent.mkdir(exist_ok=True)
            savemat(folder / path, arrays, do_compression=False)
            return [folder / path]

        return write

    def office(folder: Path) -> None:
        for name in datasets.OfficeCaltech._fields:
            file = f"office_caltech10_surf/{name}_SURF_L10.mat"
            matlab(file, fts=numpy.ones((3, 4)), labels=numpy.array([[1], [2], [3]], "u1"))(folder)

    def cells(width: int) -> Any:
        found = numpy.empty((1, 139), object)
        found[0, :] = [numpy.ones((2, width)) for _ in range(139)]
        return found

    def network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))

    def weights(ending: str, save: Callable[[dict[str, Any], Path], Any]) -> Reader:
        def write(folder: Path) -> list[Path]:
            save(network().state_dict(), folder / f"w.{ending}")
            return [folder / f"w.{ending}"]

        return Reader(write, lambda folder: encoders.load_weights(network(), folder / f"w.{ending}", strict=False))

    def run(folder: Path) -> list[Path]:
        state = {"step": 1, "planned": None, "settings": {"a": 1.5}, "optimizers": [], "ema": None}
        checkpoint.write(folder / "run", {"a": torch.ones(3)}, {**dict.fromkeys(checkpoint.KEYS), **state})
        return below(folder)

    def checked(folder: Path) -> Any:
        if (folder / "seal").exists():  # the manifest has the right hashes of the damaged files
            (folder / "run" / store.MANIFEST).unlink()
            store.seal(folder / "run", checkpoint.FORMAT)
        return checkpoint.read(folder / "run")

    def resealed(folder: Path) -> list[Path]:
        run(folder)
        (folder / "seal").touch()
        return [folder / "run" / checkpoint.STATE, folder / "run" / checkpoint.WEIGHTS]

    def model(folder: Path) -> list[Path]:
        encoder = encoders.small_conv()
        Model(encoder, heads.Classifier(encoder, ["a", "b", "c"])).save(folder / "model")
        return below(folder)

    def loaded(folder: Path) -> Any:
        if (folder / "seal").exists():
            (folder / "model" / store.MANIFEST).unlink()
            store.seal(folder / "model", model_folder.FORMAT)
        return Model.load(folder / "model")

    def resealed_model(folder: Path) -> list[Path]:
        model(folder)
        (folder / "seal").touch()
        return [folder / "model" / model_folder.FACTS, folder / "model" / model_folder.WEIGHTS]

    rows, encoder = torch.utils.data.TensorDataset(torch.ones(3, 3), torch.arange(3)), network().eval()
    kept = lambda folder: engine.features(encoder, rows, folder=folder / "kept")  # noqa: E731

    def transformers(folder: Path) -> list[Path]:
        from tests.adapt.encoders.tiny import bert

        bert().save_pretrained(folder / "bert")
        return below(folder)

    words = [b"one 0.5 1.5 -2\n", b"two 1 2 3\n", b"new york .1 .2 .3\n"]
    vectors = b"".join(w + b" " + numpy.arange(3, dtype="<f4").tobytes() + b"\n" for w in (b"one", b"two", b"three"))
    drawings = {f"A/character0{i}/1_0{i}.png": picture("PNG", "1", (105, 105)) for i in (1, 2)}
    photos = {f"set/{split}/cat/{i}.jpg": picture("JPEG") for split in ("train", "test") for i in (1, 2)}
    spoken = {f"recordings/{i}_george_{i}.wav": recording() for i in (1, 2)}
    both = b'x,y,name\n1,2.5,a\n3,4.5,"b,c"\n'
    lines = b'{"x": 1, "name": "a"}\n{"x": 2.5, "name": "b"}\n'

    def voc(folder: Path) -> list[Path]:
        (folder / "images").mkdir()
        for name in ("a.png", "b.png"):
            (folder / "images" / name).write_bytes(picture("PNG"))
        test_boxes.write_voc(folder, [("cat", (1, 1, 3, 3), 0)])
        return below(folder / "voc")

    def coco(folder: Path) -> list[Path]:
        voc(folder)
        return [test_boxes.write_coco(folder)[0]]

    def masks(folder: Path) -> list[Path]:
        written("images/1.jpg", picture("JPEG"))(folder)
        return written("masks/1.png", picture("PNG", "L"))(folder)

    lost = (ValueError, FileNotFoundError)
    found = {
        "mnist": Reader(made(small_files.write_digits), lambda f: datasets.mnist(root=f)),
        "usps": Reader(made(small_files.write_digits), lambda f: datasets.usps(root=f)),
        "mnist_m": Reader(made(small_files.write_digits), lambda f: datasets.mnist_m(root=f)),
        "cifar10": Reader(
            made(lambda f: small_files.write_zip(f, "cifar10_jpg", "cifar10_subset.zip", photos)),
            lambda f: datasets.cifar10_jpg(root=f),
        ),
        "omniglot": Reader(
            made(lambda f: small_files.write_zip(f, "omniglot_small", "images_background_small1.zip", drawings)),
            lambda f: datasets.omniglot(root=f),
        ),
        "omniglot_runs": Reader(
            made(lambda f: small_files.write_zip(f, "omniglot_small", "all_runs.zip", small_files.runs())),
            lambda f: datasets.omniglot_runs(f),
        ),
        "olivetti": Reader(
            matlab("olivetti_faces/olivettifaces.mat", faces=numpy.ones((4096, 400), "u1")),
            lambda f: datasets.olivetti(f),
        ),
        "fsdd": Reader(
            made(lambda f: small_files.write_zip(f, "fsdd_small", "fsdd_small.zip", spoken)),
            lambda f: datasets.fsdd(root=f),
        ),
        "office": Reader(made(office), lambda f: datasets.office_caltech10_surf(root=f)),
        "sarcos": Reader(
            matlab("sarcos_test/sarcos_inv_test.mat", sarcos_inv_test=numpy.ones((4, 28))), lambda f: datasets.sarcos(f)
        ),
        "school": Reader(matlab("school/school.mat", X=cells(28), Y=cells(1)), lambda f: datasets.school(f)),
        "heart": Reader(made(test_tables.write_heart), lambda f: datasets.heart_disease(f)),
        "wisdm": Reader(
            made(lambda f: test_tables.write_wisdm(f, *(test_tables.window(i, 33, "Jogging") for i in (1, 2)))),
            lambda f: datasets.wisdm_transformed(f),
        ),
        "indices": Reader(made(test_markets.write), lambda f: datasets.world_indices(f)),
        "stocks": Reader(made(test_markets.write), lambda f: datasets.stock_prices(f)),
        "multi30k": Reader(made(test_languages.write_captions), lambda f: datasets.multi30k(f)),
        "crossner": Reader(made(test_entities.write), lambda f: datasets.crossner(f)),
        "ud_pud": Reader(made(test_languages.write_treebanks), lambda f: datasets.ud_pud(f)),
        "mrpc": Reader(made(test_sentence_pairs.write), lambda f: datasets.mrpc(f)),
        "reviews": Reader(made(test_reviews.write), lambda f: datasets.amazon_reviews_text(f)),
        "masks": Reader(masks, lambda f: datasets.masks(f / "images", f / "masks")[0]),
        "wav": Reader(written("a/1.wav", recording()), lambda f: datasets.audio(f, rate=16_000)[0]),
        "csv": Reader(
            written("t.csv", both), lambda f: datasets.table(f / "t.csv", missing=True), (ValueError, TypeError)
        ),
        "jsonl": Reader(
            written("t.jsonl", lines), lambda f: datasets.table(f / "t.jsonl", missing=True), (ValueError, TypeError)
        ),
        "txt": Reader(written("t.txt", "one\ntwo\n"), lambda f: datasets.texts(f / "t.txt")),
        "voc": Reader(voc, lambda f: datasets.boxes(f / "voc", f / "images"), lost),
        "coco": Reader(coco, lambda f: datasets.boxes(f / "coco.json", f / "images"), lost),
        "byte_pairs": Reader(
            made(lambda f: datasets.BytePairs(["ein Hund", "ein Haus"], size=262).save(f / "pairs.json")),
            lambda f: datasets.BytePairs.load(f / "pairs.json"),
        ),
        "glove": Reader(written("v.txt", b"".join(words)), lambda f: encoders.word_vectors(f / "v.txt")),
        "word2vec": Reader(written("v.txt", b"3 3\n" + b"".join(words)), lambda f: encoders.word_vectors(f / "v.txt")),
        "word2vec_binary": Reader(written("v.bin", b"3 3\n" + vectors), lambda f: encoders.word_vectors(f / "v.bin")),
        "npz": weights("npz", lambda s, path: numpy.savez(path, **{n: v.numpy() for n, v in s.items()})),
        "pt": weights("pt", torch.save),
        "legacy_pt": weights("th", lambda s, path: torch.save(s, path, _use_new_zipfile_serialization=False)),
        "safetensors": weights("safetensors", save_file),
        "checkpoint": Reader(run, checked, (ValueError, FileNotFoundError)),
        "sealed_checkpoint": Reader(resealed, checked),
        "model": Reader(model, loaded, lost),
        "sealed_model": Reader(resealed_model, loaded, (ValueError, NoRecipe)),
        "features": Reader(made(kept), kept),
        "transformers": Reader(transformers, lambda f: encoders.from_transformers(f / "bert")),
    }
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        found[kind.lower()] = Reader(every(kind), lambda f: datasets.images(f)[0])
    return found


def memory_of_process() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def fuzz(name: str, reader: Reader, seed: int, start: int, cases: int, seconds: float, mark: Path) -> dict[str, Any]:
    """Read damaged files, and return the number of cases, of results, of errors, and what else came."""
    counts: dict[str, Any] = {"reader": name, "cases": 0, "read": 0, "refused": 0, "wrong": []}
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        paths = reader.write(folder)
        reader.read(folder)  # the valid files; and imports happen before the limit
        valid = {path: path.read_bytes() for path in below(folder)}
        end = time.process_time() + seconds
        for number in range(start, start + cases):
            if time.process_time() > end:
                break
            mark.write_text(f"{name} {number}")
            chance = random.Random(f"{seed} {name} {number}")
            for path, raw in valid.items():
                path.write_bytes(raw)
            chosen = chance.choice(paths)
            chosen.write_bytes(damaged_inside(valid[chosen], chance))
            largest = sum(path.stat().st_size for path in below(folder))
            limit = memory_of_process() + 64 * MIB + 4 * largest + TENSORS
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            try:
                reader.read(folder)
                counts["read"] += 1
            except reader.errors as error:
                counts["refused"] += 1
                if any(word in str(error) for word in MEMORY):
                    counts["wrong"].append(f"case {number}: memory: {error}"[:300])
            except BaseException as error:
                counts["wrong"].append(f"case {number}: {type(error).__name__}: {error}"[:300])
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            counts["cases"] += 1
    return counts


def child(options: argparse.Namespace, mark: Path) -> None:
    warnings.simplefilter("ignore")
    known = readers()
    for name in options.readers or known:
        start = options.start if name == options.first else 0
        found = fuzz(name, known[name], options.seed, start, options.cases, 60 * options.minutes, mark)
        print(json.dumps(found), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", help="names; none: all")
    parser.add_argument("--minutes", type=float, default=10, help="of processor time, for each reader")
    parser.add_argument("--cases", type=int, default=10**9, help="files for each reader, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="number of the first case of the reader `--first`")
    parser.add_argument("--first", default="")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options, options.child)
        return 0
    wrong, waiting, start = 0, options.readers or list(readers()), options.start
    with tempfile.TemporaryDirectory() as where:
        mark = Path(where) / "case"
        while waiting:
            command = [sys.executable, __file__, *waiting, f"--minutes={options.minutes}", f"--cases={options.cases}"]
            command += [f"--seed={options.seed}", f"--child={mark}", f"--first={waiting[0]}", f"--start={start}"]
            environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            start = 0
            for line in process.stdout:
                found = json.loads(line)
                waiting.remove(found["reader"])
                wrong += len(found["wrong"])
                counts = f"{found['cases']:7} files, {found['read']:6} read, {found['refused']:7} refused"
                print(f"{found['reader']:18}{counts}", flush=True)
                print(*(f"    {text}" for text in found["wrong"][:5]), sep="\n", end="\n" if found["wrong"] else "")
            if process.wait() != 0:
                name, number = mark.read_text().split() if mark.exists() else (waiting[0], "0")
                print(f"{name}: the process ended with {process.returncode} at case {number}")
                wrong += 1
                waiting, start = waiting[waiting.index(name) :], int(number) + 1
                if process.returncode > 0:  # not a crash: the fuzzer itself failed
                    return 1
    return int(wrong > 0)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # the folder of this file holds tests by the names of packages
    sys.exit(main())
