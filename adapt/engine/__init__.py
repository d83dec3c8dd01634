"""The engine trains any mixture of terms. The engine knows no method, and a method knows no loop."""

from adapt.engine import callbacks
from adapt.engine._features import features
from adapt.engine._model import Model
from adapt.engine._supervised import supervised
from adapt.engine._trainer import Trainer
from adapt.engine.checkpoint import CheckpointError, TornCheckpoint
from adapt.engine.evaluate import Measured, Predictions, measure, predict, score
from adapt.engine.runtime import gather, rank, world_size
from adapt.engine.schedule import cosine, inverse, ramp, switch
from adapt.engine.step import Step, View
from adapt.engine.term import Outcome, Phase, Term

__all__ = [
    "CheckpointError",
    "Measured",
    "Model",
    "Outcome",
    "Phase",
    "Predictions",
    "Step",
    "Term",
    "TornCheckpoint",
    "Trainer",
    "View",
    "callbacks",
    "cosine",
    "features",
    "gather",
    "inverse",
    "measure",
    "predict",
    "ramp",
    "rank",
    "score",
    "supervised",
    "switch",
    "world_size",
]
