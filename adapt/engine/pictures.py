"""Pictures for TensorBoard: matplotlib figures of confusion matrices and of how tasks agree."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def confusion_figure(counts: Tensor, names: Sequence[str]) -> Any:
    """A matplotlib figure of a confusion matrix: rows are true classes, each normalised to one."""
    from matplotlib.figure import Figure

    shares = counts.double() / counts.sum(1, keepdim=True).clamp_min(1)
    size = min(12.0, 2.5 + 0.4 * len(names))
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true")
    if len(names) <= 30:
        axes.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 2 else 0)
        axes.set_yticks(range(len(names)), names)
        for (i, j), n in zip(
            torch.cartesian_prod(*2 * [torch.arange(len(names))]).tolist(), counts.flatten().tolist(), strict=True
        ):
            if n:
                axes.text(
                    j, i, n, ha="center", va="center", fontsize=7, color="white" if shares[i, j] > 0.5 else "black"
                )
    return figure


def affinity_figure(cosines: Tensor, names: Sequence[str]) -> Any:
    """A matplotlib figure of cosines between tasks, from -1 in red to 1 in blue."""
    from matplotlib.figure import Figure

    size = min(12.0, 2.5 + 0.4 * len(names))
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    axes.imshow(cosines.cpu().numpy(), cmap="RdBu", vmin=-1, vmax=1)
    if len(names) <= 30:
        text = 10 if len(names) <= 8 else 7  # points: TensorBoard shows a picture at half its size
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        for i, j in torch.cartesian_prod(*2 * [torch.arange(len(names))]).tolist():
            dark = cosines[i, j].abs() > 0.7
            # a hyphen would be lost when the picture is made smaller
            value = f"{cosines[i, j]:.2f}".replace("-", "\N{MINUS SIGN}")
            axes.text(j, i, value, ha="center", va="center", fontsize=text, color="w" if dark else "k")
    return figure
