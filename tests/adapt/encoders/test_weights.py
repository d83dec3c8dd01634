"""Weight files are loaded whole or not at all."""

import numpy
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from adapt import encoders


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
