"""The wheel and the sdist hold what they must, and work in an environment that has nothing of this repository."""

import email
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEWER = {
    "torchmetrics": "1.9.0",
    "setuptools": "82.0.0",
    "pytorch-metric-learning": "2.9.0",
}  # than pytorch-adapt allows
BUILT = (".*", "__pycache__", "*.egg-info", "build", "dist", "runs", "mutants")  # an old build must not help a new one


def call(*command, cwd) -> str:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=clean, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(kind: str, source: Path, into: Path) -> Path:
    """Return the file that the project's own backend makes, without a download."""
    code = f"import sys; from setuptools import build_meta; print('made', build_meta.build_{kind}({str(into)!r}))"
    return into / re.search(r"^made (\S+)$", call(sys.executable, "-c", code, cwd=source), re.MULTILINE)[1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("sdist")
    shutil.copytree(ROOT, folder / "copy", ignore=shutil.ignore_patterns(*BUILT))
    return build("sdist", folder / "copy", folder)


@pytest.fixture(scope="module")
def unpacked(sdist):
    with tarfile.open(sdist) as archive:
        archive.extractall(sdist.parent, filter="data")
    return sdist.parent / sdist.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(unpacked, tmp_path_factory):
    """Built from the sdist, as a build frontend does: a file that the sdist lacks is missing here too."""
    copy = shutil.copytree(unpacked, tmp_path_factory.mktemp("wheel") / "copy")
    return build("wheel", copy, copy.parent)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """An environment with the libraries of this interpreter, newer releases of some, and nothing of this repository."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    packages = Path(call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for name, version in NEWER.items():
        information = packages / f"{name.replace('-', '_')}-{version}.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return python


@pytest.mark.package
def test_the_wheel_holds_the_packages_and_their_type_marks_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"adapt/py.typed", "losses/py.typed"} <= set(names)
    modules = {p.relative_to(ROOT).as_posix() for room in ("adapt", "losses") for p in (ROOT / room).rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    assert {name.split("/")[0] for name in names} == {
        "adapt",
        "losses",
        f"{'-'.join(wheel.name.split('-')[:2])}.dist-info",
    }


@pytest.mark.package
def test_the_index_page_has_no_relative_link(wheel):
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))).decode()
    metadata = email.message_from_string(text)
    assert metadata["Description-Content-Type"] == "text/markdown" and metadata["License-Expression"] == "MIT"
    page = metadata.get_payload()
    assert "pip install adapt-losses" in page
    assert all(link.startswith("https://") for link in re.findall(r"(?:\]\(|src=\")([^)\"]*)", page))
    core = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert core and not [line for line in core if re.match(r"pytorch-adapt|setuptools", line)]


@pytest.mark.package
def test_the_wheel_in_an_environment_with_newer_libraries(wheel, environment):
    pip = (sys.executable, "-m", "pip", "--python", environment, "install", "--no-index", "--disable-pip-version-check")
    told = call(*pip, "--dry-run", wheel, cwd=wheel.parent)
    assert re.findall(r"^Would install (.*)$", told, re.MULTILINE) == [wheel.name.split("-py3")[0].replace("_", "-")]
    call(*pip, "--no-deps", wheel, cwd=wheel.parent)
    code = """
import sys
from pathlib import Path
from importlib.metadata import version
import adapt, losses
for package in adapt, losses:
    assert Path(package.__file__).is_relative_to(sys.prefix), package.__file__
    assert Path(package.__file__).with_name("py.typed").exists()
assert adapt.__version__ == version("adapt-losses")
assert not {"pytorch_adapt", "torchmetrics", "pkg_resources"} & set(sys.modules)
"""
    call(environment, "-I", "-c", code, cwd=wheel.parent)


@pytest.mark.package
def test_the_sdist_holds_everything_and_passes_its_tests(unpacked):
    copied = {
        p.relative_to(ROOT).as_posix()
        for folder in ("adapt", "benchmarks", "docs", "examples", "losses", "tests")
        for p in (ROOT / folder).rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    files = {p.relative_to(unpacked).as_posix() for p in unpacked.rglob("*") if p.is_file()}
    assert not copied - files and {"Makefile", "conftest.py", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"} <= files
    told = call(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/test_imports.py", cwd=unpacked)
    assert "passed" in told and "failed" not in told
