"""What a second network plays against the encoder."""

from losses.adversarial._classifier_discrepancy import classifier_discrepancy
from losses.adversarial._domain_adversarial import domain_adversarial
from losses.adversarial._domain_confusion import domain_confusion
from losses.adversarial._entropy_weights import entropy_weights
from losses.adversarial._gradient_penalty import gradient_penalty
from losses.adversarial._inverted_domain import inverted_domain
from losses.adversarial._margin_disparity import margin_disparity
from losses.adversarial._multi_domain_adversarial import multi_domain_adversarial
from losses.adversarial._multilinear_map import RandomMultilinearMap, multilinear_map
from losses.adversarial._regression_disparity import regression_disparity
from losses.adversarial._reverse import reverse
from losses.adversarial._sliced_wasserstein_discrepancy import sliced_wasserstein_discrepancy
from losses.adversarial._wasserstein_critic import wasserstein_critic

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
