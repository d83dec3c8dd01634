"""The blocks of docs/zeroshot.md run one after the other, and every public function is on the page."""

from types import FunctionType

import numpy
import torch

from adapt import encoders, zeroshot
from tests.pages import DOCS, blocks_of, run_block


def letters(texts):
    return numpy.array([[t.count(c) for c in "adeglmnoprstw"] for t in texts])


def test_the_blocks_run():
    encoder = encoders.callable(letters, 13, name="letters", fingerprint="1")
    classes = ["World", "Sports"]
    g = torch.Generator().manual_seed(0)
    names = {"encoder": encoder, "few": ["war", "games"], "few_names": classes, "texts": ["a war", "teams", "politics"]}
    names |= {"image_encoder": encoders.wrap(torch.nn.Identity(), 5), "images": torch.randn(30, 5, generator=g)}
    names |= {"names": ["World", "Sports", "Other"] * 10, "unseen": ["Fourth", "Fifth"]}
    names |= {"test_images": torch.randn(8, 5, generator=g), "test_names": ["World", "Fourth"] * 4}
    for number, block in enumerate(blocks_of("zeroshot.md")):
        if "open_clip" in block or "from_sentence_transformers" in block:  # tests/adapt/encoders/test_dual_encoders.py
            continue
        if "signatures = " in block:  # more classes than the first block describes
            names["descriptions"] |= {"Other": "o", "Fourth": "t", "Fifth": "l"}
        run_block("zeroshot.md", number, block, names)
    assert names["model"].names == ["Fourth", "Fifth"]


def test_every_public_function_is_on_the_page():
    page = (DOCS / "zeroshot.md").read_text()
    own = [name for name in zeroshot.__all__ if isinstance(getattr(zeroshot, name), FunctionType)]
    assert len(own) > 6 and not [name for name in own if f"zeroshot.{name}" not in page and f"`{name}`" not in page]
