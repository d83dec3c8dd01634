"""An example as a module, in this process: another process would import torch again."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def example_of(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        f"{name}_example", Path(__file__).parents[2] / "examples" / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
