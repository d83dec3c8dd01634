"""A folder of recordings as a data set."""

import wave
from functools import partial

import numpy
import pytest
import torch
from scipy.io import wavfile

from adapt import Stream, Trainer, datasets, encoders, heads, supervised


def save(path, samples, rate=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, numpy.asarray(samples))


def tone(frequency, seconds, rate):
    return numpy.sin(2 * numpy.pi * frequency * numpy.arange(round(seconds * rate)) / rate)


def test_widths_and_channels(tmp_path):
    save(tmp_path / "a.wav", numpy.array([0, 128, 255], "uint8"))
    save(tmp_path / "b.wav", numpy.array([-(2**15), 0, 2**14], "int16"))
    with wave.open(str(tmp_path / "c.wav"), "wb") as file:  # 24 bits
        file.setnchannels(1)
        file.setsampwidth(3)
        file.setframerate(8000)
        file.writeframes(b"".join(v.to_bytes(3, "little", signed=True) for v in (-(2**23), 0, 2**22)))
    save(tmp_path / "d.wav", numpy.array([-(2**31), 0, 2**30], "int32"))
    save(tmp_path / "e.wav", numpy.array([-1, 0, 0.5], "float32"))
    save(tmp_path / "f.wav", numpy.array([[-(2**15), -(2**15)], [2**14, -(2**14)], [0, 2**15 - 2]], "int16"))
    data = datasets.audio(tmp_path, rate=8000)
    assert data.names is None and data[0].dtype == torch.float32
    assert data[0].tolist() == [-1, 0, 127 / 128]
    assert [data[i].tolist() for i in range(1, 5)] == [[-1, 0, 0.5]] * 4
    assert data[5].tolist() == [-1, 0, (2**14 - 1) / 2**15]


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050])
def test_another_rate_is_resampled(tmp_path, rate):
    save(tmp_path / "a.wav", tone(440, 1, 16_000), 16_000)
    heard = datasets.audio(tmp_path, rate=rate)[0]
    assert len(heard) == rate
    inner = slice(rate // 10, -rate // 10)  # the filter rings at the ends
    torch.testing.assert_close(heard[inner], torch.tensor(tone(440, 1, rate)).float()[inner], atol=0.01, rtol=0)


def test_what_a_lower_rate_cannot_hold_is_filtered_out(tmp_path):
    save(tmp_path / "a.wav", tone(7_000, 1, 16_000), 16_000)
    assert datasets.audio(tmp_path, rate=8_000)[0][400:-400].abs().max() < 0.01


def test_torn_recordings_are_named(tmp_path):
    save(tmp_path / "a.wav", numpy.zeros(100, "int16"))
    raw = (tmp_path / "a.wav").read_bytes()
    for torn in (raw[:-50], raw[:20], b"text", raw[:44]):
        (tmp_path / "a.wav").write_bytes(torn)
        with pytest.raises(ValueError, match=r"a.wav` cannot be read as a recording"):
            datasets.audio(tmp_path, rate=8000)[0]
    for rate in (0, 8000.0):
        with pytest.raises(ValueError, match="`rate` must be a whole number"):
            datasets.audio(tmp_path, rate=rate)


def test_recordings_of_unequal_length_train(tmp_path):
    for name, frequency in {"low": 200, "high": 1500}.items():
        for i in range(6):
            save(tmp_path / name / f"{i}.wav", tone(frequency, 0.1 + i / 100, 8000).astype("float32"))

    def spectrum(samples):
        return torch.fft.rfft(samples, 256).abs().log1p()

    assert len({len(row) for row, _ in datasets.audio(tmp_path, rate=8000)}) == 6
    data = datasets.audio(tmp_path, rate=8000, prepare=spectrum)
    assert data.names == ["high", "low"]
    torch.manual_seed(0)
    encoder = encoders.wrap(torch.nn.Linear(129, 8), 8)
    head = heads.Classifier(encoder, classes=data.names)
    trainer = Trainer(
        encoder,
        [supervised(head, on="sound")],
        {"sound": Stream(data, 4)},
        optimizer=partial(torch.optim.Adam, lr=0.05),
    )
    trainer.fit(steps=20)
    assert trainer.evaluate(head, data).value == 1
