"""The backward pass of several tasks that share one encoder."""

from adapt.engine.tasks.backward import TaskBackward
from adapt.engine.tasks.conflicts import Conflicts

__all__ = ["Conflicts", "TaskBackward"]
