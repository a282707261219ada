"""How requests are run: the batch pipeline, and one file for each procedure.

The pipeline reads top to bottom in ``tasks.pipeline``: decode, claim, gather, decide, write,
audit. Publishing and acknowledging follow the commit, in ``tasks.drain``.
"""
