"""The spool: a folder of shards between production and training, of which nothing is used twice (README.md)."""
