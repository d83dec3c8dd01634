"""Folders of transformers and sentence-transformers, looked through before a library reads the folder."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from adapt import store

LARGEST = 16 << 20  # bytes of a configuration; names of many classes may be inside
COUNTS = re.compile(r".*(layers?|depths?|blocks?|experts|stages)$")  # numbers of modules: each takes memory when made
FEWEST = 1_000  # modules that any configuration may ask for
# weights that are not in every file, and that an encoder does not use: SpecAugment is off, the pooler is removed
UNUSED = re.compile(r"(.*\.)?(pooler\..*|masked_spec_embed)")


@contextmanager
def reading_folder(folder: str | Path, kind: str) -> Iterator[None]:
    """Turn an error while a folder is read into one ValueError with the name of the folder."""
    try:
        yield
    except (ImportError, MemoryError, PermissionError):  # not the fault of the folder
        raise
    except Exception as error:  # transformers, tokenizers, safetensors and json raise a class for each kind of damage
        raise ValueError(f"`{folder}` cannot be read as {kind}: {error}. Is the folder complete?") from error


def check_model_folder(folder: Path) -> None:
    """Compare a configuration with the weight files beside it, before a model is made.

    Raises:
        ValueError: no configuration or weight file, more modules than tensors, more parameters than the weight files
            may fill (4 times the files and 64 MiB), weights that are no floating-point numbers.
    """
    from transformers import AutoConfig, AutoModel

    settings = read_json(folder / "config.json")
    files = [*folder.glob("*.safetensors"), *folder.glob("*.bin")]
    tensors = sum(_tensors(path) for path in files)
    for name, value in _whole_numbers(settings):
        if COUNTS.fullmatch(name) and value > max(FEWEST, tensors):
            raise ValueError(f"config.json asks for {name} = {value}, and the weight files hold {tensors} tensors")
    config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):  # sizes without memory
        made = AutoModel.from_config(config, trust_remote_code=False)
    count = 4 * sum(part.numel() for part in (*made.parameters(), *made.buffers()))
    most = store.Budget.of(sum(path.stat().st_size for path in files))
    most.allow(count, "the model of config.json in float32")


def check_loaded(model: nn.Module, missing: Any) -> None:
    """Raise a ValueError unless every weight came from the files and is finite."""
    absent = sorted(name for name in missing if not UNUSED.fullmatch(name))
    if absent:
        raise ValueError(f"the weight files lack {len(absent)} weights, the first {', '.join(absent[:3])}")
    for name, weight in model.named_parameters():
        if not weight.isfinite().all():
            raise ValueError(f"`{name}` holds a value that is not finite")


def check_sentence_folder(folder: Path) -> None:
    """Look through a folder of sentence-transformers.

    Raises:
        ValueError: a module outside of sentence-transformers, which would run code of the folder; a part that
            :func:`check_model_folder` refuses.
    """
    modules = read_json(folder / "modules.json") if (folder / "modules.json").exists() else []
    for module in modules:
        kind = module["type"]
        if not str(kind).startswith("sentence_transformers."):
            raise ValueError(f"modules.json asks for `{kind}`, expected modules of sentence-transformers alone")
        part = folder / module["path"]
        if not part.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"modules.json asks for the folder `{module['path']}`, outside of this folder")
        if str(kind).endswith(".Transformer"):
            check_model_folder(part)


def read_json(path: Path) -> Any:
    """Return the content of a json file of at most 16 MiB."""
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path.name} has more than {LARGEST} bytes")
    return json.loads(path.read_text(encoding="utf-8"))


def _tensors(path: Path) -> int:
    """Return the number of tensors of a weight file, after a look at their kinds."""
    if path.suffix == ".bin":
        return len(store.load_torch(path)) if path.name.startswith("pytorch_model") else 0
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        names = list(file.keys())
        for name in names:
            kind = file.get_slice(name).get_dtype()
            if name.endswith((".weight", ".bias")) and not kind.startswith(("F", "BF")):
                raise ValueError(f"`{name}` in {path.name} is {kind}, expected floating-point numbers")
    return len(names)


def _whole_numbers(settings: Any) -> Iterator[tuple[str, int]]:
    """Yield names and values of all whole numbers, at any depth."""
    for name, value in settings.items():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                yield from _whole_numbers(part)
            elif type(part) is int:
                yield str(name), part
