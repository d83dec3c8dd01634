"""The search for the most probable text, word by word."""

from collections.abc import Callable

import torch
from torch import Tensor

# from the words ``(n, beams)`` of the place, its number, and the number of the earlier beam of each beam ``(n, beams)``
# (None at first), to logits ``(n, beams, words)``
Next = Callable[[Tensor, int, Tensor | None], Tensor]


def search(advance: Next, start: Tensor, length: int, beams: int, penalty: float, end: int) -> list[list[int]]:
    r"""Return for each row the words of the best found text, without the word `end`.

    .. math:: \frac{1}{m^\lambda} \sum_{j=1}^m \log p(y_j \mid y_1, \dots, y_{j-1})

    is largest among the texts that the search ends; m counts the word `end`. Of the texts of a row the search keeps the
    `beams` most probable texts at each place. The search in a row stops after `beams` ended texts, which were
    among the most probable `beams` texts when the texts ended, or after `length` words.

    Args:
        advance: the logits of the next words, see ``Next``. One beam is the greedy choice.
        start: ``(n,)`` first word, which is no part of the text.
        length: the most words, the end included.
        penalty: :math:`\lambda`; 0 prefers short texts.
    """
    n, best = len(start), torch.full((len(start),), -torch.inf, device=start.device)
    texts = torch.full((n, length), end, device=start.device)
    ended = torch.zeros(n, dtype=torch.long, device=start.device)
    scores = torch.full((n, beams), -torch.inf, device=start.device)
    scores[:, 0] = 0  # all beams are equal at first: only one of them counts
    words, said = start[:, None].expand(n, beams), start.new_zeros(n, beams, 0)
    parents: Tensor | None = None
    for place in range(length):
        logits = advance(words, place, parents)
        steps = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(2)
        total, V = (scores[..., None] + steps).flatten(1), steps.shape[2]
        values, found = total.topk(min(2 * beams, total.shape[1]), 1)
        parents, words = found // V, found % V
        texts_now = torch.cat([said.gather(1, parents[..., None].expand(-1, -1, place)), words[..., None]], 2)
        over = words == end
        closed = (over | (place + 1 == length)) & values.isfinite()
        closed[:, beams:] = False
        value, which = (values / (place + 1) ** penalty).masked_fill(~closed, -torch.inf).max(1)
        better = (value > best) & (ended < beams)
        best = torch.where(better, value, best)
        chosen = texts_now[torch.arange(n, device=start.device), which]
        texts[better, : place + 1] = chosen[better]
        texts[better, place + 1 :] = end
        ended = ended + closed.sum(1)
        if bool((ended >= beams).all()):  # a host synchronisation on a GPU
            break
        going = over.int().argsort(dim=1, stable=True)[:, :beams]  # in the order of the values; at most one end a beam
        scores, words, parents = (x.gather(1, going) for x in (values, words, parents))
        said = texts_now.gather(1, going[..., None].expand(-1, -1, place + 1))
    return [row[: row.index(end)] if end in row else row for row in texts.tolist()]
