import losses
from tests.losses.case import Case, logits
from tests.losses.confidence import references

CASES = [
    Case("entropy", losses.entropy, [logits("s")], references.entropy),
    Case(
        "information_maximization", losses.information_maximization, [logits("s")], references.information_maximization
    ),
    Case(
        "minimum_class_confusion",
        losses.minimum_class_confusion,
        [logits("s")],
        references.minimum_class_confusion,
        derivatives="held",
    ),
]
