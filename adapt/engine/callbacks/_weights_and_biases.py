"""Logged values to Weights & Biases."""

from typing import TYPE_CHECKING, Any

from adapt.engine.callbacks.logged import Logged

if TYPE_CHECKING:
    from adapt.engine._trainer import Trainer


class WeightsAndBiases:
    """Sends logged values and the settings of the run to Weights & Biases, from rank 0.

    Args:
        options: of ``wandb.init``, say ``project="digits"``.

    The package `wandb` is imported when the trainer is made. The number of the run is in the checkpoint, so a resumed
    run goes on in the same curves; `wandb` leaves out steps that the curves have already.

    Raises:
        ImportError: when the trainer is made, `wandb` is not installed.

    https://docs.wandb.ai/ref/python
    """

    def __init__(self, **options: Any):
        self.options, self._id = options, options.get("id")
        self._run: Any = None

    def check(self, trainer: "Trainer") -> None:
        _import()

    def __call__(self, logged: Logged) -> None:
        if logged.trainer.rank:
            return
        if self._run is None:
            settings = {"config": logged.trainer.settings, "resume": "allow"} | self.options
            self._run = _import().init(**settings | {"id": self._id})
            self._id = self._run.id
        self._run.log(dict(logged.values), step=logged.step)

    def close(self) -> None:
        if self._run is not None:
            self._run.finish()
            self._run = None

    def state_dict(self) -> dict[str, Any]:
        return {"id": self._id}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._id = state["id"]


def _import() -> Any:
    try:
        import wandb
    except ImportError as error:
        raise ImportError("`WeightsAndBiases` needs the package `wandb`: `pip install wandb`.") from error
    return wandb
