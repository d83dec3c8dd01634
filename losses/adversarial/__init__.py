"""What a second network plays against the encoder."""

from losses.adversarial.classifier_discrepancy import classifier_discrepancy
from losses.adversarial.domain_adversarial import domain_adversarial
from losses.adversarial.domain_confusion import domain_confusion
from losses.adversarial.entropy_weights import entropy_weights
from losses.adversarial.gradient_penalty import gradient_penalty
from losses.adversarial.inverted_domain import inverted_domain
from losses.adversarial.margin_disparity import margin_disparity
from losses.adversarial.multi_domain_adversarial import multi_domain_adversarial
from losses.adversarial.multilinear_map import RandomMultilinearMap, multilinear_map
from losses.adversarial.regression_disparity import regression_disparity
from losses.adversarial.reverse import reverse
from losses.adversarial.sliced_wasserstein_discrepancy import sliced_wasserstein_discrepancy
from losses.adversarial.wasserstein_critic import wasserstein_critic

__all__ = [
    "RandomMultilinearMap",
    "classifier_discrepancy",
    "domain_adversarial",
    "domain_confusion",
    "entropy_weights",
    "gradient_penalty",
    "inverted_domain",
    "margin_disparity",
    "multi_domain_adversarial",
    "multilinear_map",
    "regression_disparity",
    "reverse",
    "sliced_wasserstein_discrepancy",
    "wasserstein_critic",
]
