"""The blocks of docs/text.md run, on made-up texts and with a small model."""

import numpy
import pytest
import torch

from tests.adapt.encoders.test_word_tokens import fast
from tests.adapt.encoders.tiny import bert
from tests.pages import blocks_of, run_block

pytest.importorskip("transformers", reason="the extra `text`")


def test_the_blocks_run(capsys):
    draw = numpy.random.default_rng(0)
    texts = [" ".join(draw.choice(["good" if i % 2 else "bad", *"abcde"], size=9)) for i in range(60)]
    others = [" ".join(draw.choice(list("cdefg"), size=9)) for _ in range(60)]
    names = {"texts": texts, "others": others, "labels": torch.arange(60) % 2, "network": bert(), "tokenizer": fast()}
    names |= {"source_features": torch.randn(40, 5), "target_features": torch.randn(40, 5) + 1}
    for number, block in enumerate(blocks_of("text.md")):
        run_block("text.md", number, block, names)
    found = capsys.readouterr().out
    assert "TextGap(known=" in found and "Interval(value=" in found and "smaller" in found
