"""Which domain a feature comes from."""

from torch import Tensor, nn

from adapt.heads.classifier import check_features


class Discriminator(nn.Module):
    """A network with two hidden layers from features to one logit of "this is source".

    Args:
        dim: feature size, ``encoder.dim``.
        hidden: units of each hidden layer. DANN's has 1,024 for digits and photographs alike; 256 is enough for
            features of a few hundred numbers and costs a tenth.

    Shapes: features ``(n, dim)`` to logits ``(n,)``.
    """

    def __init__(self, dim: int, *, hidden: int = 256):
        super().__init__()
        self.dim = dim
        self.layers = nn.Sequential(
            nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        check_features(features, self.dim)
        return self.layers(features).squeeze(-1)
