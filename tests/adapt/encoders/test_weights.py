"""Weight files are loaded whole or not at all."""

import zipfile
from contextlib import nullcontext

import numpy
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from adapt import encoders
from tests.memory import within_limits


def tiny():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


def write(kind, path, tensors):
    if kind == "safetensors":
        save_file(tensors, path)
    elif kind == "npz":
        numpy.savez(path, **{k: v.numpy() for k, v in tensors.items()})
    else:
        torch.save({"state_dict": {f"module.{k}": v for k, v in tensors.items()}, "epoch": 3}, path)
    return path


@pytest.mark.parametrize("kind", ["safetensors", "npz", "pth"])
def test_weight_files(tmp_path, kind):
    source, module = tiny(), nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    path = write(kind, tmp_path / f"weights.{kind}", source.state_dict())
    match = encoders.load_weights(module, path)
    assert str(match) == "7 tensors loaded, 0 missing, 0 not used"
    assert all(
        torch.equal(a, b) for a, b in zip(source.state_dict().values(), module.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("kind", ["safetensors", "npz", "pth"])
@pytest.mark.parametrize("cut", [0, 20, -9])
def test_a_torn_weight_file(tmp_path, kind, cut):
    path = write(kind, tmp_path / f"weights.{kind}", tiny().state_dict())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match="cannot be read|holds"):
        encoders.read_weights(path)


class Trap:
    def __reduce__(self):
        return print, ("code in a weight file was run",)


def test_code_in_a_weight_file_is_not_run(tmp_path, capsys):
    torch.save({"a": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(ValueError, match="holds more than tensors"):
        encoders.read_weights(tmp_path / "trap.pth")
    assert capsys.readouterr().out == ""


def test_weights_that_do_not_fit_leave_the_module_untouched(tmp_path):
    module = tiny()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    full = tiny().state_dict()
    cases = {
        "missing 1.bias; not expected nothing": {k: v for k, v in full.items() if k != "1.bias"},
        "missing nothing; not expected extra": full | {"extra": torch.ones(1)},
        r"`0.weight` \(2, 2\) instead of \(4, 3\)": full | {"0.weight": torch.ones(2, 2)},
    }
    for message, tensors in cases.items():
        with pytest.raises(ValueError, match=message):
            encoders.load_weights(module, {k: v + 1 for k, v in tensors.items()})
    with pytest.raises(ValueError, match="do not fit"):
        encoders.load_weights(module, {"other": torch.ones(1)}, strict=False)
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    partial = encoders.load_weights(module, {"0.bias": torch.ones(4), "x": torch.ones(1)}, strict=False)
    assert partial.loaded == ["0.bias"] and partial.unexpected == ["x"] and (module[0].bias == 1).all()


def test_a_missing_or_empty_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a weight file"):
        encoders.read_weights(tmp_path / "none.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(ValueError, match="holds no tensors"):
        encoders.read_weights(tmp_path / "empty.pth")


def hostile(tmp_path, kind):
    """A file of each hostile kind, and a part of the message."""
    path, full = tmp_path / f"{kind.replace(' ', '_')}.pt", tiny().state_dict()
    weight = full["0.weight"]
    if kind in ("brackets", "lists", "an endless text"):
        path.write_bytes({"brackets": b"(", "lists": b"]", "an endless text": b"X\xff\xff\xff\x7f"}[kind] * 700_000)
        return path, "cannot be read"
    if kind == "npz of 256 MiB":
        path = path.with_suffix(".npz")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("0.weight.npy", "w") as file:
            numpy.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (1 << 26,)})
            for _ in range(1 << 8):
                file.write(bytes(1 << 20))
        return path, "cannot be read.*needs 268,435,456 bytes"
    if kind == "npz of false sizes":
        path = path.with_suffix(".npz")
        numpy.savez(path, **{"0.weight": weight.numpy()})
        path.write_bytes(path.read_bytes().replace(b"'shape': (4, 3), }   ", b"'shape': (40000, 3), }"[:21]))
        return path, "cannot be read"
    values = {
        "NaN": (weight * torch.nan, "`0.weight`"),
        "infinite": (weight / 0, "`0.weight`"),
        "float64 that is infinite in float32": (weight.double() * 1e300, "not finite: `0.weight`"),
        "complex": (weight + 0j, "`0.weight` torch.complex64 instead of torch.float32"),
        "int64": (weight.long(), "`0.weight` torch.int64 instead of torch.float32"),
        "bool": (weight > 0, "`0.weight` torch.bool instead of torch.float32"),
    }
    if kind in values:
        torch.save(full | {"0.weight": values[kind][0]}, path)
        return path, f"{kind.replace(' ', '_')}.pt`: .*{values[kind][1]}"
    if kind == "two names":
        torch.save(full | {"module.0.weight": weight}, path)
        return path, "holds `0.weight` and `module.0.weight`"
    if kind == "numbers as names":
        torch.save({3: weight}, path)
        return path, "not expected 3"
    if kind == "expanded":
        torch.save({"0.weight": torch.zeros(1).expand(1 << 20, 1 << 12)}, path)
        return path, "needs 17,179,869,184 bytes"
    if kind == "sparse":
        torch.save({"0.weight": weight.to_sparse()}, path)
        return path, "holds more than tensors.*sparse"
    torch.save({"0.weight": Numbers()}, path)
    return path, "holds more than tensors.*bytearray"


class Numbers:
    def __reduce__(self):
        return bytearray, (1 << 34,)


KINDS = [
    "brackets", "lists", "an endless text", "npz of 256 MiB", "npz of false sizes", "NaN", "infinite",
    "float64 that is infinite in float32", "complex", "int64", "bool", "two names", "numbers as names", "expanded",
    "sparse", "bytes by number",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_weight_file_is_refused(tmp_path, kind):
    """Section 3: sizes before allocation, `.pt` of brackets, NaN, complex, int64, `weight` beside `module.weight`."""
    module = tiny()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    path, message = hostile(tmp_path, kind)
    tracing_takes_seconds = kind == "lists"
    with nullcontext() if tracing_takes_seconds else within_limits(path), pytest.raises(ValueError, match=message):
        encoders.load_weights(module, path)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_a_file_for_what_learns_has_the_same_door(tmp_path):
    """Section 3: NaN and integers in a file of `save_trainable_state`."""
    module = tiny()
    path = encoders.save_trainable_state(module, tmp_path / "learnt.safetensors")
    good = encoders.read_weights(path)
    for value, message in ((good["0.weight"] * torch.nan, "not finite"), (good["0.weight"].long(), "another kind")):
        save_file(good | {"0.weight": value}, path)
        with pytest.raises(ValueError, match=f"learnt.safetensors`: weights .*{message}: `0.weight`"):
            encoders.load_trainable_state(module, path)


def test_infinite_values_of_a_mask_are_kept():
    module = tiny()
    module.register_buffer("mask", torch.full((2, 2), -torch.inf))
    encoders.load_weights(module, {k: v.clone() for k, v in module.state_dict().items()})
    with pytest.raises(ValueError, match="not finite: `mask`"):
        encoders.load_weights(module, module.state_dict() | {"mask": torch.full((2, 2), torch.inf)})


@pytest.mark.parametrize("missing", ["linear.bias", "linear.weight"])
def test_half_a_classifier_is_refused_with_the_file(tmp_path, missing):
    encoder = encoders.cifar_resnet(8)
    tensors = encoder.body.state_dict() | {"linear.weight": torch.ones(3, 64), "linear.bias": torch.ones(3)}
    torch.save({k: v for k, v in tensors.items() if k != missing}, tmp_path / "half.th")
    with pytest.raises(ValueError, match="half.th`: .*missing|half.th`: .*another shape"):
        encoders.cifar_resnet(8, tmp_path / "half.th")
