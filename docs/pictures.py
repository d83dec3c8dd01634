"""Draw `docs/images/losses/<name>.png`: what following a loss's gradient does to points.

    python docs/pictures.py [name ...]

Two clouds in the plane: the target's points follow the gradient, the source's stay. Predictions in the triangle of
three classes: unlabelled rows follow the gradient of their logits. Points on the circle: embeddings follow theirs.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import Tensor

import losses

FOLDER = Path(__file__).parent / "images" / "losses"
SOURCE, TARGET = "#4477aa", "#ee6677"
CLASSES = ["#4477aa", "#ee6677", "#228833"]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def follow(loss: Callable[[Tensor], Tensor], x: Tensor, rate: float, steps: int = 400) -> list[Tensor]:
    """Adam on the points themselves: the positions at each step."""
    x = x.clone().requires_grad_()
    optimizer, path = torch.optim.Adam([x], lr=rate), [x.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad()
        loss(x).backward()
        optimizer.step()
        path.append(x.detach().clone())
    return path


def trails(axes, path: list[Tensor], colours) -> None:
    tracks = torch.stack(path).numpy()
    for k in range(tracks.shape[1]):
        axes.plot(tracks[:, k, 0], tracks[:, k, 1], color="0.75", lw=0.6, zorder=1)
    axes.scatter(*tracks[0].T, s=12, facecolors="none", edgecolors=colours, lw=0.8, zorder=2)
    axes.scatter(*tracks[-1].T, s=12, c=colours, zorder=3)


def clouds() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Three groups of source points, the same groups turned and moved as target, and the labels."""
    g = generator()
    centres = torch.tensor([[0.0, 1.6], [-1.6, -0.9], [1.6, -0.9]])
    labels = torch.arange(3).repeat_interleave(20)
    x = centres[labels] + 0.35 * torch.randn(60, 2, generator=g)
    turn = torch.tensor([[0.77, -0.64], [0.64, 0.77]])
    y = 0.6 * (centres[labels] + 0.35 * torch.randn(60, 2, generator=g)) @ turn + torch.tensor([3.2, 1.2])
    return x, y, labels, labels.clone()


def between_clouds(loss: Callable[[Tensor, Tensor], Tensor], *, by_class: bool = False, rate: float = 0.05):
    def draw(axes, name):
        x, y, labels, _ = clouds()
        path = follow(lambda t: loss(x, t), y, rate)
        colour = [CLASSES[k] for k in labels] if by_class else TARGET
        axes.scatter(*x.T.numpy(), s=16, marker="x", lw=0.9, c=colour if by_class else SOURCE, zorder=2)
        trails(axes, path, colour)
        axes.set_title("crosses: source; target from circles to dots", fontsize=8)
        axes.set_aspect("equal")

    return draw


def in_the_triangle(loss: Callable[[Tensor], Tensor], rate: float = 0.05, steps: int = 150):
    corners = torch.tensor([[0.0, 1.0], [-0.87, -0.5], [0.87, -0.5]])

    def draw(axes, name):
        z = 0.9 * torch.randn(60, 3, generator=generator()) + torch.tensor([0.5, 0.0, -0.3])
        path = [p.softmax(1) @ corners for p in follow(loss, z, rate, steps)]
        axes.fill(*corners.T.numpy(), facecolor="none", edgecolor="0.4", lw=0.8)
        trails(axes, path, [CLASSES[int(k)] for k in z.argmax(1)])
        for number, corner in enumerate(corners.numpy()):
            axes.annotate(f"class {number + 1}", corner * 1.13, ha="center", va="center", fontsize=7)
        axes.set_title("predictions, from circles to dots; colour: class at the start", fontsize=8)
        axes.set_aspect("equal")

    return draw


def on_the_circle(loss: Callable[[Tensor, Tensor], Tensor], rate: float = 0.03, steps: int = 300):
    def draw(axes, name):
        angles = torch.linspace(0.2, 2.6, 24) + 0.25 * torch.randn(24, generator=generator())
        labels = torch.arange(24) // 8
        start = torch.stack([angles.cos(), angles.sin()], 1)
        path = [F.normalize(p) for p in follow(lambda z: loss(z, labels), start, rate, steps)]
        axes.add_patch(plt.Circle((0, 0), 1, fill=False, color="0.8", lw=0.8))
        colours = [CLASSES[int(k)] for k in labels]
        axes.scatter(*(1.12 * path[0]).T.numpy(), s=14, facecolors="none", edgecolors=colours, lw=0.8)
        axes.scatter(*path[-1].T.numpy(), s=14, c=colours)
        axes.set_title("embeddings: circles before, dots after", fontsize=8)
        axes.set_aspect("equal")
        axes.set_xlim(-1.25, 1.25), axes.set_ylim(-1.25, 1.25)

    return draw


def curve(function: Callable[[Tensor], Tensor], values: Tensor, xlabel: str, many: dict[str, Callable] | None = None):
    def draw(axes, name):
        for number, (label, f) in enumerate((many or {name: function}).items()):
            axes.plot(values, [float(f(v)) for v in values], color=CLASSES[number % 3], label=label, lw=1.4)
        axes.set_xlabel(xlabel, fontsize=8)
        axes.set_ylabel("loss", fontsize=8)
        axes.legend(fontsize=7, frameon=False)

    return draw


def two_class(z: Tensor) -> Tensor:
    """Logits of one row with margin z for the right class, which is class 0."""
    return torch.stack([z, torch.zeros_like(z)])[None]


THETA = F.normalize(torch.randn(64, 2, generator=generator()))
_, _, YS, YT = clouds()
Z = torch.linspace(-4, 4, 81)
RIGHT = torch.zeros(1, dtype=torch.long)
PICTURES: dict[str, Callable] = {
    "mmd": between_clouds(losses.mmd),
    "joint_mmd": between_clouds(
        lambda x, y: losses.joint_mmd([x, F.one_hot(YS).float()], [y, F.one_hot(YT).float()]), by_class=True
    ),
    "local_mmd": between_clouds(lambda x, y: losses.local_mmd(x, y, YS, 8.0 * F.one_hot(YT).float()), by_class=True),
    "contrastive_domain_discrepancy": between_clouds(
        lambda x, y: losses.contrastive_domain_discrepancy(x, y, YS, YT, classes=3, bandwidth=4.0), by_class=True
    ),
    "semantic_alignment": between_clouds(lambda x, y: losses.semantic_alignment(x, y, YS, YT), by_class=True),
    "coral": between_clouds(losses.coral),
    "central_moment_discrepancy": between_clouds(losses.central_moment_discrepancy),
    "higher_order_moment_matching": between_clouds(losses.higher_order_moment_matching),
    "sliced_wasserstein": between_clouds(lambda x, y: losses.sliced_wasserstein(x, y, directions=THETA)),
    "max_sliced_wasserstein": between_clouds(lambda x, y: losses.max_sliced_wasserstein(x, y, directions=THETA)),
    "sinkhorn_divergence": between_clouds(losses.sinkhorn_divergence),
    "exact_transport": between_clouds(losses.exact_transport),
    "gaussian_wasserstein": between_clouds(losses.gaussian_wasserstein),
    "entropy": in_the_triangle(losses.entropy),
    "diversity": in_the_triangle(losses.diversity),
    "information_maximization": in_the_triangle(losses.information_maximization),
    "minimum_class_confusion": in_the_triangle(losses.minimum_class_confusion),
    "batch_nuclear_norm": in_the_triangle(losses.batch_nuclear_norm),
    "fast_batch_nuclear_norm": in_the_triangle(losses.fast_batch_nuclear_norm),
    "batch_frobenius_norm": in_the_triangle(losses.batch_frobenius_norm),
    "supervised_contrastive": on_the_circle(losses.supervised_contrastive),
    "neighbourhood_components": on_the_circle(lambda z, y: losses.neighbourhood_components(F.normalize(z), y)),
    "triplet": on_the_circle(lambda z, y: losses.triplet(F.normalize(z), y)),
    "uniformity": on_the_circle(lambda z, y: losses.uniformity(z)),
    "hard_feature_norm": between_clouds(lambda x, y: losses.hard_feature_norm(y, radius=3.0)),
    "focal": curve(
        None,
        Z,
        "logit margin of the right class",
        {f"focus {k:g}": (lambda z, k=k: losses.focal(two_class(z), RIGHT, focus=k)) for k in (0.0, 1.0, 2.0)},
    ),
    "quantile": curve(
        None,
        Z,
        "prediction - target",
        {
            f"quantile {q}": (lambda z, q=q: losses.quantile(z.view(1, 1), torch.zeros(1), quantiles=(q,)))
            for q in (0.1, 0.5, 0.9)
        },
    ),
}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or PICTURES:
        figure, axes = plt.subplots(figsize=(4.2, 3.4), dpi=90, layout="constrained")
        PICTURES[name](axes, name)
        axes.tick_params(labelsize=7)
        if axes.get_xlabel() == "":
            axes.set_axis_off()
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(FOLDER / f"{name}.png", metadata={"Software": None})
        plt.close(figure)
        print(name, flush=True)


if __name__ == "__main__":
    main()
