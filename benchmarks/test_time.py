"""python benchmarks/test_time.py [--rounds 15] [--rows 200 64 16 1] [--methods ...]

What a batch costs with each test-time method, in units of a forward pass of the plain model: paired ratios.

ResNet-20 of CIFAR-10 in channels-last memory with random weights, noise as images, one thread. A round runs the plain
model, the model with the statistics of the batch (torch's own training pass of BatchNorm), and every method, one after
the other; the ratio is taken within the round. The table has the median ratio, with the quartiles.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

sys.path[0] = str(Path(__file__).parents[1])  # benchmarks/losses.py would hide the package
import adapt
from adapt import encoders, heads
from adapt import transductive as tt

PLAIN, BATCH = "plain model", "batch statistics"
METHODS: dict[str, tuple[tt.OnlineMethod | None, tt.Guard | None]] = {
    "adabn": (tt.adabn(), None), "adabn(share=0.6)": (tt.adabn(share=0.6), None),
    "default without guard": (None, None), "default": (None, tt.Guard()),
    "tent": (tt.tent(), None), "eata": (tt.eata(reliable=0.99, redundant=1.0), None),  # all rows learn
    "roid": (tt.roid(), None), "rdumb": (tt.rdumb(tt.eata(reliable=0.99, redundant=1.0)), None),
    "sar": (tt.sar(reliable=0.99), None), "lame": (tt.lame(), None), "t3a": (tt.t3a(), None),
}  # fmt: skip


def contestants(methods: list[str]) -> dict[str, Callable[[torch.Tensor], object]]:
    torch.manual_seed(0)
    encoder = encoders.cifar_resnet(20)
    encoder.body.to(memory_format=torch.channels_last)
    model = adapt.Model(encoder, heads.Classifier(encoder, 10))
    found: dict[str, Callable] = {}
    for name, track in ((PLAIN, True), (BATCH, False)):
        network = tt.Online(model, tt.lame(), guard=None)._source  # an own copy
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d) and not track:
                layer.running_mean = layer.running_var = None
        found[name] = torch.no_grad()(lambda x, network=network: network(x).log_softmax(1))
    return found | {name: tt.Online(model, METHODS[name][0], guard=METHODS[name][1]) for name in methods}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--rows", type=int, nargs="+", default=[200, 64, 16, 1])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| rows | method | ms | to the plain model | to batch statistics |\n|---:|---|---:|---:|---:|")
    for rows in arguments.rows:
        calls, seconds = contestants(arguments.methods), {}
        x = torch.randn(rows, 3, 32, 32).to(memory_format=torch.channels_last)
        for turn in range(-1, arguments.rounds):
            for name, call in calls.items():
                start = time.thread_time()
                call(x)
                if turn >= 0:
                    seconds.setdefault(name, []).append(time.thread_time() - start)
        for name, own in seconds.items():
            cells = []
            for other in (PLAIN, BATCH):
                low, middle, high = statistics.quantiles([a / b for a, b in zip(own, seconds[other], strict=True)])
                cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
            print(f"| {rows} | {name} | {1000 * statistics.median(own):.1f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
