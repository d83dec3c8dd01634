"""Tokens of texts that a term may hide or delete."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from adapt.engine import Step
from adapt.protocols import expect
from adapt.randomness import keyed_numbers


class Tokenizer(Protocol):
    """The part of a tokenizer of transformers that a term reads."""

    all_special_ids: Sequence[int]
    mask_token_id: int | None

    def __len__(self) -> int: ...


def expect_tokenizer(tokenizer: Any) -> Tokenizer:
    return expect(tokenizer, Tokenizer, "`tokenizer`", "take `AutoTokenizer.from_pretrained(folder)`")


def token_inputs(inputs: Any, on: str) -> tuple[Tensor, Tensor]:
    """Return the ``(n, t)`` numbers of the tokens, and the places that the attention mask shows."""
    if not isinstance(inputs, Mapping) or not {"input_ids", "attention_mask"} <= inputs.keys():
        found = sorted(map(str, inputs)) if isinstance(inputs, Mapping) else type(inputs).__name__
        raise ValueError(
            f"inputs of stream `{on}` must have `input_ids` and `attention_mask`, got {found}: give "
            "`encoders.tokens(texts, tokenizer, length)`."
        )
    return inputs["input_ids"], inputs["attention_mask"].bool()


def ordinary(ids: Tensor, there: Tensor, special: Sequence[int]) -> Tensor:
    """Return ``(n, t)`` booleans: True at tokens of the text, False at special tokens and padding."""
    return there & ~torch.isin(ids, torch.tensor(list(special), device=ids.device))


def chosen_places(step: Step, index: Tensor, places: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``(n, t)`` booleans with `counts` drawn places in each row, and ``(n, t)`` further keyed numbers.

    The draw is a function of the seed, the step and the row: equal on any number of ranks and micro-batches.
    """
    key = int(torch.randint(2**62, (), generator=step.generator))
    t = places.shape[1]
    numbers, more = keyed_numbers(key, index, 2 * t).split(t, dim=1)
    last = torch.iinfo(torch.int64).max
    rank = numbers.masked_fill(~places, last).argsort(1).argsort(1)
    return (rank < counts[:, None]) & places, more
