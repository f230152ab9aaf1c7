"""The spool: a folder of shards between production and training, of which nothing is used twice (README.md)."""

from xrdcommon.spool.backlog import Backlog
from xrdcommon.spool.consumer import Consumer
from xrdcommon.spool.spool import Spool

__all__ = ["Backlog", "Consumer", "Spool"]
