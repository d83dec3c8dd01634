"""The blocks of docs/experiments.md run one after the other; a block without its package is skipped, and said."""

import importlib.util

import pytest

from tests.pages import blocks_of, run_block

PAGE = "experiments.md"
BLOCKS = blocks_of(PAGE)
FOLDERS = {"submitit": "runs/jobs", "optuna": "runs/search", "ray": "runs/digits"}
PACKAGES = tuple(FOLDERS)


def package_of(block):
    return next((name for name in PACKAGES if f"import {name}" in block), None)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The names after the plain blocks, and the folder where they ran."""
    folder, names = tmp_path_factory.mktemp("page"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for number, block in enumerate(BLOCKS):
            if package_of(block) is None:
                run_block(PAGE, number, block, names)
    return folder, names


def test_the_plain_blocks_run(page):
    _, names = page
    assert not names["grown"].failed and len(names["grown"].records) == 8


@pytest.mark.parametrize("package", [pytest.param(p, marks=pytest.mark.ray if p == "ray" else ()) for p in PACKAGES])
def test_the_block_of_a_package_runs(page, package, monkeypatch):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    folder, names = page
    monkeypatch.chdir(folder)
    (block,) = [block for block in BLOCKS if package_of(block) == package]
    run_block(PAGE, BLOCKS.index(block), block, dict(names))
