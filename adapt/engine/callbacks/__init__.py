"""Callbacks: functions that a trainer calls with logged scalars and with the scores of watched sets.

A callback is any callable of one :class:`Logged`::

    def show(logged):
        if logged.scores is not None:
            print(logged.step, logged.values)

    Trainer(..., callbacks=[show, callbacks.EarlyStopping("source", patience=5)])

The trainer calls every callback on every rank, in the order of the list, with the numbers of rank 0: whenever scalars
are logged (`log_every`), and whenever watched sets are scored (`watch_every` and the end of the run). Beside the call,
a callback may offer

- ``state_dict()`` and ``load_state_dict(state)``: numbers, texts, lists, dicts and tensors, saved in each checkpoint,
- ``check(trainer)``: called when the trainer is made, to raise before the first step,
- ``close()``: called at the end of every `fit` and of every loop over `steps`, also after an error.

``logged.trainer.stop("reason")`` ends the run after the callbacks were called; on several ranks, one rank that stops
stops all ranks at the same step."""

from adapt.engine.callbacks._early_stopping import EarlyStopping
from adapt.engine.callbacks._keep_best import KeepBest
from adapt.engine.callbacks._mlflow import MLflow
from adapt.engine.callbacks._weights_and_biases import WeightsAndBiases
from adapt.engine.callbacks.logged import Callback, Logged

__all__ = [
    "Callback",
    "EarlyStopping",
    "KeepBest",
    "Logged",
    "MLflow",
    "WeightsAndBiases",
]
