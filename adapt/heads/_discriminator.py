"""The domain of a feature."""

from torch import Tensor, nn

from adapt.heads.sizes import check_features
from adapt.protocols import HasDim, dim_of
from losses.options import COUNT, check


class Discriminator(nn.Module):
    """A network with two hidden layers from features to one logit for "this row is from the source".

    Args:
        encoder: an encoder, or a feature size.
        hidden: units of each hidden layer; 256, enough for features of a few hundred numbers. DANN has 1,024 for digits
            and photographs alike, at ten times the cost.

    Shapes: features ``(n, dim)`` to logits ``(n,)``.

    Raises:
        ValueError: sizes below 1; features of another size.
    """

    def __init__(self, encoder: HasDim | int, *, hidden: int = 256):
        super().__init__()
        check(COUNT, hidden=hidden)
        self.dim, self.hidden = dim_of(encoder), hidden
        self.layers = nn.Sequential(
            nn.Linear(self.dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.dim)
        return self.layers(features).squeeze(-1)
