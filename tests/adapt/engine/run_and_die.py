"""A run for the resume test, in a process that can be killed.

python -m tests.adapt.engine.run_and_die FOLDER WORKERS STEPS
"""

import sys
import time

import torch

from tests.adapt.engine.tiny import jitter, trainer

torch.set_num_threads(1)


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


if __name__ == "__main__":
    folder, workers, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    made, head = make(folder, workers)
    made.watch = {"source": (head, made.streams["source"].dataset)}
    if "--slow" in sys.argv:  # so that the killer finds it alive
        step = made._step
        made._step = lambda *a: (time.sleep(0.05), step(*a))[1]
    if "--resume" in sys.argv:
        made.resume()
        print("resumed at", made.step, flush=True)
    made.fit(steps)
