"""Transfer learning from the command line: a first result, a ranking, a page, and a look at the installation.

    python -m adapt demo                                    # digits from paper to photographs, a few minutes
    python -m adapt rank --labels y.npy a=a.npy b=b.npy     # which encoder's features carry the classes?
    python -m adapt report runs/first_look                  # the verdict of an experiment, and where its page lies
    python -m adapt doctor                                  # versions, extras, devices, data, names that clash

The commands call public functions: report.first_look, ranking.rank. A script can do more: README.md, "Ten lines".
"""

import argparse
import importlib.metadata as metadata
import json
import os
import platform
import re
import sys
from pathlib import Path

OURS = "adapt-losses"
CLASHING = ("losses.py", "losses", "adapt.py", "adapt")
NEVER_ASKED = ("dev", "bench", "docs")  # extras for work on this toolkit


def main(words: list[str] | None = None) -> int:
    """Run a command, and return 0, or 1 where something is wrong."""
    parser = argparse.ArgumentParser(
        "python -m adapt", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="adapt the bundled digits to photographs; prints the cost first")
    demo.add_argument("--out", default="runs/demo", help="folder of the experiment (default: %(default)s)")
    demo.add_argument("--steps", type=int, default=300, help="of each run (default: %(default)s)")
    demo.add_argument("--seeds", type=int, default=3, help="runs of each method (default: %(default)s)")
    demo.set_defaults(run=_demo)
    rank = commands.add_parser("rank", help="rank encoders by their features of the same labelled rows")
    rank.add_argument("features", nargs="+", metavar="NAME=FILE.npy", help="(n, d) features of one encoder")
    rank.add_argument("--labels", required=True, metavar="FILE.npy", help="(n,) classes, texts or whole numbers")
    rank.set_defaults(run=_rank)
    report = commands.add_parser("report", help="print the verdict of an experiment, and the path of its page")
    report.add_argument("folder", help="of report.experiment or report.first_look")
    report.set_defaults(run=_report)
    commands.add_parser("doctor", help="is the installation whole?").set_defaults(run=_doctor)
    given = parser.parse_args(words)
    return given.run(given)


def _demo(given: argparse.Namespace) -> int:
    from adapt import datasets, encoders, report

    digits = datasets.digits()
    report.first_look(
        digits.paper.train, digits.photo.train, encoders.small_conv, test=digits.photo.test,
        folder=given.out, steps=given.steps, seeds=given.seeds,
    )  # fmt: skip
    return 0


def _rank(given: argparse.Namespace) -> int:
    import numpy

    from adapt import ranking

    wrong = [text for text in given.features if "=" not in text]
    if wrong:
        print(f"expected NAME=FILE.npy, got {wrong[0]!r}: write `--labels y.npy resnet=resnet.npy`.", file=sys.stderr)
        return 1
    pairs = dict(text.split("=", 1) for text in given.features)
    print(ranking.rank({name: numpy.load(file) for name, file in pairs.items()}, numpy.load(given.labels).tolist()))
    return 0


def _report(given: argparse.Namespace) -> int:
    folder = Path(given.folder)
    page, facts = folder / "report.html", folder / "report.json"
    if not page.exists():
        print(
            f"`{folder}` holds no page, expected `{page}`: write the page with `result.page()`, where `result` is what "
            "`report.experiment` returned, or give `test=` to `report.first_look`.",
            file=sys.stderr,
        )
        return 1
    if facts.exists():
        for target in json.loads(facts.read_text())["verdict"]["targets"]:
            for method, values in target["scores"].items():
                print(f"{method:24} {sum(values) / len(values):.3f}  mean of {len(values)} seeds")
    print(f"page: {page.resolve()}")
    return 0


def _doctor(given: argparse.Namespace) -> int:
    import torch

    import adapt
    import losses

    print(f"python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} processors")
    print(f"adapt {adapt.__version__}: {Path(adapt.__file__).parent}\nlosses: {Path(str(losses.__file__)).parent}")
    for name, version in _core():
        print(f"  {name} {version}")
    missing = _missing()
    print("extras:" if missing else "extras: all are installed")
    for extra, packages in missing.items():
        print(f'  {extra}: without {", ".join(packages)}; pip install "{OURS}[{extra}]"')
    devices = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    print(f"devices: cpu with {torch.get_num_threads()} threads{''.join(f', cuda: {name}' for name in devices)}")
    print(_data())
    clashes = _clashes()
    for path in clashes:
        print(
            f"clash: `{path}` has the name of a package of this toolkit. A script beside the file imports the file and "
            "not the package: rename the file or folder, or run from elsewhere."
        )
    if not clashes:
        print("names: no other `losses` or `adapt` on the import path")
    return int(bool(clashes))


def _core() -> list[tuple[str, str]]:
    """Return the packages that are always needed, with versions."""
    asked = [text for text in _required() if "extra ==" not in text]
    return [(name, _version(name) or "is missing") for name in map(_name, asked)]


def _missing() -> dict[str, list[str]]:
    """Return the packages that are not installed, by extra."""
    found: dict[str, list[str]] = {}
    for text in _required():
        extra = re.search(r"extra == ['\"]([^'\"]+)", text)
        if extra and extra[1] not in NEVER_ASKED and _version(_name(text)) is None:
            found.setdefault(extra[1], []).append(_name(text))
    return found


def _required() -> list[str]:
    """Return the requirements of the distribution; none where the packages are on the path and not installed."""
    return [] if _version(OURS) is None else metadata.requires(OURS) or []


def _name(requirement: str) -> str:
    return re.split(r"[\s\[<>=!~;(]", requirement)[0]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _data() -> str:
    root = os.environ.get("ADAPT_DATA")
    if root is None:
        return "data: ADAPT_DATA is not set; the bundled data needs nothing (docs/data.md has the layout of the rest)"
    if not Path(root).is_dir():
        return f"data: ADAPT_DATA names `{root}`, which is no folder"
    return f"data: {', '.join(sorted(p.name for p in Path(root).iterdir() if p.is_dir())) or 'no folder'} below {root}"


def _clashes() -> list[Path]:
    """Return files and folders of others, on the import path or in the current folder, with the name of a package."""
    places = dict.fromkeys(Path(entry or ".").resolve() for entry in [".", *sys.path])
    candidates = (place / name for place in places if not _is_ours(place) for name in CLASHING)
    return [path for path in candidates if path.is_file() or (path / "__init__.py").is_file()]


def _is_ours(place: Path) -> bool:
    """Return whether a folder holds this toolkit: the package `losses` has a mark."""
    mark = place / "losses" / "__init__.py"
    return mark.is_file() and OURS in mark.read_text(errors="replace")


if __name__ == "__main__":
    raise SystemExit(main())
