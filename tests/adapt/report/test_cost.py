"""Time, memory and energy of a block: what is measured is right, what cannot be measured is None with the reason."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy
import pytest

from adapt import report
from adapt.report import _cost, _energy

MEGABYTE = 2**20
linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of a block")


def fill(megabytes):
    return numpy.ones(megabytes * MEGABYTE // 8)


def test_wall_time_and_rows():
    with report.cost(rows=50) as spent:
        time.sleep(0.2)
    assert 0.2 <= spent.seconds < 5  # a busy machine wakes late
    assert spent.rows_per_second == pytest.approx(50 / spent.seconds)
    assert spent.processor_seconds < 0.15  # sleeping costs no processor


def test_processor_time_has_all_threads_and_ended_children():
    def work(seconds):
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    with report.cost() as spent:
        threads = [threading.Thread(target=work, args=(0.15,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert 0.27 < spent.processor_seconds < 0.6
    code = "import time\nwhile time.process_time() < 0.3: pass"
    with report.cost() as spent:
        subprocess.run([sys.executable, "-c", code], check=True)
    assert 0.27 < spent.processor_seconds < 1


def test_rows_may_be_set_inside_and_are_none_without_a_number():
    with report.cost() as spent:
        pass
    assert spent.rows_per_second is None
    with report.cost() as spent:
        spent.rows = 7
    assert spent.rows_per_second == pytest.approx(7 / spent.seconds)


@linux
def test_peaks_in_a_process_of_their_own():
    """A process that has freed memory before gets it again, and no peak shows."""
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-m", "slow", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout


@linux
@pytest.mark.slow
def test_the_peak_of_memory_is_above_the_start_and_of_the_block_alone():
    before = fill(150)  # before the block: does not count
    with report.cost() as spent:
        fill(200)
    assert 195 * MEGABYTE < spent.peak_memory < 230 * MEGABYTE
    with report.cost() as spent:  # the earlier peak does not count either
        fill(20)
    assert 15 * MEGABYTE < spent.peak_memory < 60 * MEGABYTE
    assert before.sum() > 0


@linux
@pytest.mark.slow
def test_nested_blocks_have_their_own_peaks():
    with report.cost() as outer:
        fill(200)
        with report.cost() as inner:
            fill(50)
    assert 45 * MEGABYTE < inner.peak_memory < 80 * MEGABYTE
    assert 195 * MEGABYTE < outer.peak_memory < 230 * MEGABYTE


def test_what_the_machine_does_not_tell_is_none_with_the_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(_cost, "STATUS", tmp_path / "status")
    monkeypatch.setattr(_energy, "POWERCAP", tmp_path)
    with report.cost() as spent:
        pass
    assert spent.peak_memory is None and spent.energy is None
    assert "Linux" in spent.why["peak_memory"] and "RAPL" in spent.why["energy"]
    assert _cost._Host.open == []
    json.dumps(spent.as_dict())


def test_energy_of_the_processor_with_an_overflow(monkeypatch, tmp_path):
    package = tmp_path / "intel-rapl:0"
    package.mkdir()
    (tmp_path / "intel-rapl:0:0").mkdir()  # a part of the package: would count twice
    (package / "max_energy_range_uj").write_text("10000000\n")
    (package / "energy_uj").write_text("9000000\n")
    monkeypatch.setattr(_energy, "POWERCAP", tmp_path)
    with report.cost() as spent:
        (package / "energy_uj").write_text("2500000\n")
    assert spent.energy == pytest.approx(3.5) and spent.meters == ["intel-rapl:0"]
    with report.cost() as spent:
        (package / "energy_uj").unlink()
    assert spent.energy is None and "lost" in spent.why["energy"]


def test_a_block_with_an_error_is_measured_and_the_error_goes_on():
    with pytest.raises(KeyError), report.cost() as spent:
        raise KeyError("x")
    assert spent.seconds > 0
    assert _cost._Host.open == [] and _cost._Devices.open == []
