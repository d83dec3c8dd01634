"""A small BERT and rows of tokens."""

import pytest
import torch


def bert(**options):
    transformers = pytest.importorskip("transformers", reason="the extra `text`")
    config = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, vocab_size=50, **options
    )
    torch.manual_seed(0)
    return transformers.BertModel(config)


def tokens():
    ids = torch.randint(1, 50, (4, 7), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(4, 7, dtype=torch.int64)
    mask[0, 4:], mask[1, :2] = 0, 0
    return {"input_ids": ids, "attention_mask": mask}
