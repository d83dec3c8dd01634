import losses
from tests.losses.adversarial import references
from tests.losses.case import Case, scores

CASES = [
    Case("domain_adversarial", losses.domain_adversarial, [scores("s"), scores("t")], references.domain_adversarial),
]

#: public, and no losses: they have tests of their own
BLOCKS = {"reverse"}
