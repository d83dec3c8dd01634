"""A run for the resume test, in a process that can be killed."""

import time

import torch

from tests.adapt.engine.tiny import jitter, trainer


def make(folder: str, workers: int):
    made, head = trainer(
        ["dann", "dan", "mcc"],
        network_options={"dropout": 0.3, "batch_norm": True},
        stream_options={"augment": jitter, "workers": workers, "items": True},
        ema=0.9,
        accumulate=2,
        clip=1.0,
        log=folder,
        log_every=1,
        save_every=4,
        watch_every=5,
    )
    return made, head


def run(folder, workers, steps, *flags):
    torch.set_num_threads(1)
    made, head = make(folder, workers)
    made.watch = {"source": (head, made.streams["source"].dataset)}
    if "--slow" in flags:  # so that the killer finds it alive
        step = made._step
        made._step = lambda *a: (time.sleep(0.05), step(*a))[1]
    if "--resume" in flags:
        made.resume()
        print("resumed at", made.step, flush=True)
    made.fit(steps)
