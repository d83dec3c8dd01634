"""A run with early stopping and kept best weights, in a process that can be killed."""

import time

import torch

from adapt.engine.callbacks import EarlyStopping, KeepBest
from tests.adapt.engine.tiny import cloud, trainer


def validator(made):
    """Rises until step 24, then falls: a value without labels, made up."""
    return -abs(made.step - 24) + float(made.network["encoder"].body[0].weight.detach().sum()) * 1e-3


def make(folder, **options):
    early = EarlyStopping(validator, patience=4, better="higher")
    best = KeepBest(validator, better="higher")
    made, head = trainer(
        ["dann"], log=folder, log_every=1, save_every=5, watch_every=2, callbacks=[early, best], **options
    )
    made.watch["held out"] = (head, cloud(seed=5))
    return made, early, best


def run(folder, steps, *flags):
    torch.set_num_threads(1)
    made, early, best = make(folder)
    if "--slow" in flags:  # so that the killer finds it alive
        inner = made._step
        made._step = lambda *a: (time.sleep(0.05), inner(*a))[1]
    if "--resume" in flags:
        made.resume()
    made.fit(steps)
    print(f"stopped at {made.step}: {made.stopped}; best {best.best_step}", flush=True)
