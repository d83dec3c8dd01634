"""The physics of the example are those of gymnasium, and late pushes are late."""

import sys

import numpy as np
import pytest

from tests.examples.loaded import example_of

example = example_of("cartpole")


@pytest.mark.parametrize("factors", [(1, 1, 1, 1), (3, 0.5, 2.5, 0.7)])
def test_a_step_is_a_step_of_gymnasium(factors):
    gymnasium = pytest.importorskip("gymnasium", reason="pip install gymnasium")
    envs = [gymnasium.make("CartPole-v1").unwrapped for _ in range(3)]
    cart, pole, half, force = example.NOMINAL * factors
    world = np.array([cart, pole, half, force, 0])[:, None].repeat(3, 1)
    for seed, env in enumerate(envs):
        env.reset(seed=seed)
        env.masscart, env.masspole, env.length, env.force_mag = cart, pole, half, force
        env.total_mass, env.polemass_length = cart + pole, pole * half
    state, draw = np.stack([env.state for env in envs], 1), np.random.default_rng(0)
    for _ in range(60):
        push = draw.integers(0, 2, 3)
        for env, action in zip(envs, push, strict=True):
            env.step(int(action))
        state = example.moved(state, 2.0 * push - 1, world)
        np.testing.assert_allclose(state, np.stack([env.state for env in envs], 1), rtol=1e-9, atol=1e-12)


def test_the_return_is_that_of_a_loop_over_steps_with_a_late_push():
    draw, weights = np.random.default_rng(1), np.array([0.3, 0.6, 0.6, 0.4])
    worlds = example.drawn(draw, (12,), 0.5, 3.0, 3)
    assert set(worlds[4]) <= {0, 1, 2, 3} and (worlds[:4] <= 3 * example.NOMINAL[:, None]).all()
    found = example.returns(weights[:, None], worlds, np.random.default_rng(2))
    starts = np.random.default_rng(2).uniform(-0.05, 0.05, (4, 12))
    for number, world in enumerate(worlds.T):
        state, pushes, steps = starts[:, number], [0.0] * int(world[4]), 0
        while steps < 500 and abs(state[0]) <= 2.4 and abs(state[2]) <= np.deg2rad(12):
            pushes.append(1.0 if weights @ state > 0 else -1.0)
            state, steps = example.moved(state, np.float64(pushes.pop(0)), world), steps + 1
        assert found[number] == steps
    assert len(set(found)) > 3


def test_quick_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["cartpole.py", "--quick", "--out", str(tmp_path)])
    example.main()
    said = capsys.readouterr().out
    assert said.count("worst seed") == 4 and "| solved |" not in said and (tmp_path / "report.png").exists()
