"""Logged values to MLflow."""

import re
from typing import TYPE_CHECKING, Any

from adapt.engine.callbacks.logged import Logged

if TYPE_CHECKING:
    from adapt.engine._trainer import Trainer

LONGEST = 500  # characters of a parameter: the smallest limit of the stores of MLflow


class MLflow:
    """Sends logged values and the settings of the run to MLflow, from rank 0.

    Args:
        experiment: name of the experiment; None takes the active experiment.
        options: of ``mlflow.start_run``, say ``run_name="dann"``. A run that the caller has started is used, and stays
            open.

    The package `mlflow` is imported when the trainer is made. The number of the run is in the checkpoint, so a resumed
    run goes on in the same curves. MLflow allows letters, digits and ``_-./`` in names: other signs become ``_``.

    Raises:
        ImportError: when the trainer is made, `mlflow` is not installed.

    https://mlflow.org/docs/latest/api_reference/python_api/mlflow.html
    """

    def __init__(self, *, experiment: str | None = None, **options: Any):
        self.experiment, self.options, self._id = experiment, options, options.get("run_id")
        self._open = self._own = False

    def check(self, trainer: "Trainer") -> None:
        _import()

    def __call__(self, logged: Logged) -> None:
        if logged.trainer.rank:
            return
        mlflow = _import()
        if not self._open:
            self._start(mlflow, logged.trainer)
        mlflow.log_metrics({_name(tag): value for tag, value in logged.values.items()}, step=logged.step)

    def _start(self, mlflow: Any, trainer: "Trainer") -> None:
        self._open, self._own = True, mlflow.active_run() is None
        new = self._own and self._id is None
        if self._own:
            if self.experiment is not None:
                mlflow.set_experiment(self.experiment)
            self._id = mlflow.start_run(**self.options | {"run_id": self._id}).info.run_id
        if new or not self._own:
            mlflow.log_params({_name(name): str(value)[:LONGEST] for name, value in trainer.settings.items()})

    def close(self) -> None:
        if self._open and self._own:
            _import().end_run()
        self._open = self._own = False

    def state_dict(self) -> dict[str, Any]:
        return {"id": self._id}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._id = state["id"]


def _name(tag: str) -> str:
    return re.sub(r"[^\w\-./ ]", "_", tag)


def _import() -> Any:
    try:
        import mlflow
    except ImportError as error:
        raise ImportError("`MLflow` needs the package `mlflow`: `pip install mlflow`.") from error
    return mlflow
