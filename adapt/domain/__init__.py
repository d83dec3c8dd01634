"""The same task in another domain: methods return terms, to be added to a supervised one."""

from adapt.domain import bridge as bridge
from adapt.domain import classical as classical
from adapt.domain.dan import dan
from adapt.domain.dann import dann
from adapt.domain.deep_coral import deep_coral
from adapt.domain.mcc import mcc

__all__ = ["dan", "dann", "deep_coral", "mcc"]
