"""Rows of a head from another head, by the names of the classes."""

from collections.abc import Mapping

import torch

from adapt.heads.classifier import Classifier
from adapt.heads.token_classifier import TokenClassifier


@torch.no_grad()
def copy_rows(
    head: Classifier | TokenClassifier, start: Classifier | TokenClassifier, *, names: Mapping[str, str] | None = None
) -> list[str]:
    """Copy the weights of the classes that `head` and `start` share, and return the names of the classes.

    The row of the weights and the bias of a class of `start` become those of the class of `head` with the same name.
    Other classes of `head` keep their weights. Where both heads have a chain (``crf=True``), the scores of the pairs of
    shared tags, of the first and of the last tag are copied too. The head that was trained on the first task then
    knows, say, persons and places of the second task from the first step on.

    Args:
        head: changed in place.
        start: a trained head for features of the same size.
        names: where names differ, the name in `start` for a name of `head`: ``{"B-person": "B-PER"}``. Other names
            stand for themselves.

    Raises:
        TypeError: something else than two heads with a row of weights for each class.
        ValueError: heads of other feature sizes; no class in common; `names` with an unknown name.

    >>> old, new = Classifier(4, ["cat", "dog"]), Classifier(4, ["dog", "horse", "cat"])
    >>> copy_rows(new, old)
    ['dog', 'cat']
    """
    for option, given in (("head", head), ("start", start)):
        if not isinstance(given, Classifier | TokenClassifier):
            raise TypeError(
                f"`{option}` must be a heads.Classifier or a heads.TokenClassifier, got a {type(given).__name__}."
            )
    if head.dim != start.dim:
        raise ValueError(
            f"`head` and `start` must have the same feature size, got {head.dim} and {start.dim}: make both with "
            "encoders of one architecture."
        )
    other = dict(names or {})
    if unknown := [*(set(other) - set(head.names)), *(set(other.values()) - set(start.names))]:
        raise ValueError(f"`names` must map names of `head` to names of `start`, found {sorted(unknown)[0]!r} unknown.")
    pairs = {
        k: start.names.index(found)
        for k, name in enumerate(head.names)
        if (found := other.get(name, name)) in start.names
    }
    if not pairs:
        raise ValueError(
            f"`head` and `start` must share a class, got {', '.join(head.names[:5])} and {', '.join(start.names[:5])}: "
            "give `names`, the name in `start` for a name of `head`."
        )
    ours, theirs = (
        torch.tensor(list(numbers), device=head.linear.weight.device) for numbers in (pairs, pairs.values())
    )
    parts = ["linear.weight", "linear.bias"]
    if isinstance(head, TokenClassifier) and isinstance(start, TokenClassifier) and head.crf and start.crf:
        parts += ["start", "end"]
        head.transitions[ours[:, None], ours] = start.transitions.to(head.transitions)[theirs[:, None], theirs]
    for part in parts:
        to = head.get_parameter(part)
        to[ours] = start.get_parameter(part).to(to)[theirs]
    return [head.names[k] for k in pairs]
