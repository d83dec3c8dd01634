"""The arrows of the design, read from the imports; and what importing must not do."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KINDS = ("inductive", "transductive", "unsupervised", "domain", "multitask", "fewshot", "zeroshot")
FIRST = {"losses", "adapt.version", "adapt.randomness", "adapt.store", "adapt.evaluating", "adapt.protocols"}
BLOCKS = ("datasets", "streams", "encoders", "heads")
# what each room may import of ours, besides itself
ARROWS = {name: FIRST if name == "adapt.protocols" else {"losses"} for name in FIRST} | {"losses": set()}
ARROWS |= {f"adapt.{name}": FIRST for name in BLOCKS}
ARROWS["adapt.engine"] = FIRST | {f"adapt.{name}" for name in BLOCKS}
ARROWS |= {f"adapt.{k}": ARROWS["adapt.engine"] | {"adapt.engine"} for k in KINDS}
ARROWS["adapt.fewshot"] = ARROWS["adapt.fewshot"] | {"adapt.inductive", "adapt.zeroshot"}
ARROWS["adapt.transductive"] = ARROWS["adapt.transductive"] | {"adapt.inductive", "adapt.zeroshot", "adapt.fewshot"}
ARROWS["adapt.ranking"] = ARROWS["adapt.domain"] | {f"adapt.{k}" for k in KINDS if k != "transductive"}
ARROWS["adapt.select"] = ARROWS["adapt.ranking"] | {"adapt.ranking"}
# an adapted model that shows a collapse falls back to the source model, so the signs of `select` come first
ARROWS["adapt.transductive"] = ARROWS["adapt.transductive"] | {"adapt.ranking", "adapt.select"}
ARROWS["adapt.report"] = ARROWS["adapt.bridges"] = ARROWS["adapt.select"] | {"adapt.select", "adapt.transductive"}
LOSSES_MAY_IMPORT = {
    "torch",
    "ot",
    "math",
    "numbers",
    "typing",
    "collections",
    "contextlib",
    "dataclasses",
    "functools",
    "warnings",
    "losses",
}


def room(module: str) -> str:
    parts = module.split(".")
    return "losses" if parts[0] == "losses" else ".".join(parts[:2])


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            # `from adapt import heads` imports the room, not only the package
            found |= {f"{node.module}.{a.name}" for a in node.names} if node.module == "adapt" else {node.module}
    return found


def modules():
    return [p for package in ("losses", "adapt") for p in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows_go_one_way(path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    here = room(name.removesuffix(".__init__"))
    if here in ("adapt", "adapt.__init__", "adapt.__main__", "adapt.version"):  # the roof
        return
    ours = {room(m) for m in imported(path) if m.split(".")[0] in ("adapt", "losses")}
    assert ours - {here} <= ARROWS[here], f"{name} reaches into {ours - {here} - ARROWS[here]}"
    if here == "losses":
        assert {m.split(".")[0] for m in imported(path)} <= LOSSES_MAY_IMPORT


def test_every_room_has_its_arrows():
    rooms = {f"adapt.{p.name}" for p in (ROOT / "adapt").iterdir() if (p / "__init__.py").exists()}
    assert rooms <= ARROWS.keys()


def run(code: str, cwd=ROOT) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120)


def test_importing_leaves_the_process_as_it_was():
    code = """
import logging, random, threading, numpy, torch, torch.distributed
torch.nn.Linear(2, 2)
state = lambda: (torch.get_rng_state().tolist(), repr(numpy.random.get_state()), random.getstate(),
                 torch.get_num_threads(), threading.active_count(), torch.cuda.is_initialized(),
                 torch.distributed.is_initialized(), torch.compile, torch.is_grad_enabled(),
                 logging.getLogger().handlers[:], logging.getLogger().level, torch.get_default_dtype())
before = state()
import adapt
assert state() == before
import sys
lazy = {"pytorch_adapt", "skada", "tensorboard", "matplotlib", "sklearn", "scipy", "torchvision", "torch._dynamo"}
lazy &= set(sys.modules)
assert not lazy, lazy
"""
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_losses_alone_imports_torch_only():
    done = run("import losses, sys; assert 'adapt' not in sys.modules; print(losses.mmd)")
    assert done.returncode == 0, done.stderr


def test_a_strangers_losses_is_noticed(tmp_path):
    (tmp_path / "losses.py").write_text("def mine(): pass\n")
    done = run(f"import sys; sys.path.append({str(ROOT)!r}); import adapt", cwd=tmp_path)
    assert done.returncode == 1
    assert "ImportError" in done.stderr and "losses.py" in done.stderr and "comes before it" in done.stderr
