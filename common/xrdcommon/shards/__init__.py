"""Shards: tar files of 64-row members that stock webdataset reads, whole or not there."""

from xrdcommon.shards.format import BLOCK_ROWS, ShardName
from xrdcommon.shards.reader import Block, Shard, read_shard
from xrdcommon.shards.writer import ShardWriter

__all__ = ["BLOCK_ROWS", "Block", "Shard", "ShardName", "ShardWriter", "read_shard"]
