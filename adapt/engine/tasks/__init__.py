"""The backward pass of several tasks with a shared encoder."""

from adapt.engine.tasks.backward import TaskBackward
from adapt.engine.tasks.conflicts import Conflicts

__all__ = ["Conflicts", "TaskBackward"]
