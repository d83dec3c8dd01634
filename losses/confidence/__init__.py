"""What predictions on unlabelled rows should look like."""

from losses.confidence.entropy import entropy
from losses.confidence.information_maximization import information_maximization
from losses.confidence.minimum_class_confusion import minimum_class_confusion

__all__ = ["entropy", "information_maximization", "minimum_class_confusion"]
