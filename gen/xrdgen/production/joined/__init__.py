"""One production of many tasks: who coordinates it, and how others join."""
