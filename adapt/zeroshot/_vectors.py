"""Names and descriptions of classes as vectors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from adapt.engine import features
from losses.checks import at_least_float32
from losses.fine_tuning.norm import unit
from losses.options import COUNT, check

Names = Sequence[str] | Mapping[str, str | Sequence[str]]
HOLE = "{}"


def vectors(
    text: nn.Module | Callable[[list[str]], Any],
    names: Names,
    templates: Sequence[str] = (HOLE,),
    *,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> Tensor:
    r"""Return a vector for each class: the mean direction of the texts of the class.

    .. math:: t_k = \frac{m_k}{\lVert m_k \rVert}, \qquad
        m_k = \frac1{|T_k|} \sum_{u \in T_k} \frac{f(u)}{\lVert f(u) \rVert}

    where T_k are all templates with all texts of class k in the hole.

    Args:
        text: f, from a list of texts to ``(n, d)`` features: an encoder, which runs in evaluation mode, or a function
            such as :func:`adapt.encoders.sentences`. Each distinct text is encoded once.
        names: the names of the classes; or a dict from names to descriptions, one text or several texts for each class.
        templates: texts with the hole ``{}``, such as ``"a photo of a {}."``.
        batch_size: texts for each call of an encoder.
        device: where an encoder runs. A function chooses the device itself.

    Returns:
        ``(classes, d)``, rows of unit length, on the CPU, in the order of `names`, at least float32. The vectors are
        classifiers for the same encoder (:func:`adapt.zeroshot.fit`), the start of :func:`adapt.fewshot.text_probe`,
        or signatures of classes (:func:`adapt.zeroshot.fit_signatures`).

    Raises:
        TypeError: names, descriptions or templates that are no texts.
        ValueError: no names, equal names, a class without a text, a template without the hole; features that are not
            ``(n, d)`` finite numbers; texts of a class whose directions cancel out.

    Radford et al., Learning Transferable Visual Models From Natural Language Supervision (CLIP), 2021,
    https://arxiv.org/abs/2103.00020

    >>> vectors(lambda texts: [[len(t), 0.0] for t in texts], {"cat": ["cat", "a cat"], "dog": "dog"})
    tensor([[1., 0.],
            [1., 0.]])
    """
    check(COUNT, batch_size=batch_size)
    texts = filled(names, templates)
    distinct = list(dict.fromkeys(t for each in texts for t in each))
    if isinstance(text, nn.Module):
        rows = features(text, distinct, batch_size=batch_size, device=device).tensors[0]
    else:
        rows = at_least_float32(torch.as_tensor(text(distinct)).detach().cpu())
    if rows.ndim != 2 or len(rows) != len(distinct) or not rows.isfinite().all():
        raise ValueError(
            f"`text` must return (n, d) finite features for n texts, got {tuple(rows.shape)} for {len(distinct)} texts"
            f"{'' if rows.isfinite().all() else ' with NaN or infinity'}."
        )
    place = {t: i for i, t in enumerate(distinct)}
    rows = scaled_unit(rows)
    means = torch.stack([rows[[place[t] for t in each]].mean(0) for each in texts])
    lost = means.norm(dim=1) < 1e-6
    if lost.any():
        name = list(names)[int(lost.nonzero()[0])]
        raise ValueError(f"the features of the texts of class {name!r} must not cancel out: change the texts.")
    return unit(means, 1)


def scaled_unit(x: Tensor) -> Tensor:
    """Return rows of unit length, also of rows whose squares leave the range of the precision; zeros stay zeros."""
    return unit(x / x.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny), -1)


def filled(names: Names, templates: Sequence[str]) -> list[list[str]]:
    """Return the texts of each class: all templates with all descriptions of the class.

    Raises:
        TypeError, ValueError: as :func:`vectors`.
    """
    for what, given in (("names", names), ("templates", templates)):
        if isinstance(given, str) or not isinstance(given, Mapping | Sequence):
            raise TypeError(f"`{what}` must be a list of texts, got a {type(given).__name__}: write `[text]`.")
        if len(given) == 0:
            raise ValueError(f"`{what}` must hold at least one text, got none.")
        if wrong := [v for v in given if not isinstance(v, str)]:
            raise TypeError(f"`{what}` must be texts, found {wrong[0]!r} of type {type(wrong[0]).__name__}: convert.")
    if bad := [t for t in templates if HOLE not in t]:
        raise ValueError(f"`templates` must have the hole {HOLE!r} for a name, got {bad[0]!r}.")
    if len(set(names)) < len(names):
        raise ValueError(f"`names` must differ, got {list(names)[:5]}: merge equal classes.")
    texts = names if isinstance(names, Mapping) else {name: name for name in names}
    found = []
    for name, given in texts.items():
        each = [given] if isinstance(given, str) else list(given)
        if not each or not all(isinstance(t, str) and t.strip() for t in each):
            raise ValueError(f"class {name!r} of `names` must have a text, and no empty text, got {given!r}.")
        found.append([template.replace(HOLE, t) for t in each for template in templates])
    return found
