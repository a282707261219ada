"""How a run's own processes are started: afresh, not as copies of one with threads."""

import multiprocessing

SPAWN = multiprocessing.get_context("spawn")
