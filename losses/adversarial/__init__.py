"""What a second network plays against the encoder."""

from losses.adversarial.domain_adversarial import domain_adversarial
from losses.adversarial.reverse import reverse

__all__ = ["domain_adversarial", "reverse"]
