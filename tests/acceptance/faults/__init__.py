"""The fault harness: real traffic, real faults, and an account of every request at the end.

    python -m tests.acceptance.faults --requests 20000 --faults 100 --seed 7 --engine redis

``planning`` makes up the traffic and predicts what must come of it, ``producing`` publishes it and
keeps a ``journal``, ``faulting`` does the harm to the ``stage``, through the ``proxy`` and
otherwise, and ``accounting`` judges by the journals and by what is stored, never by Andon's own
figures. Some faults bring traffic of their own along (``fault_traffic``), set ``clocks``, are
``idling``, or put ``older_states`` back, whose ``losses`` are published again. ``tampering`` makes
workers that die, or that lack a protection on purpose. ``running`` puts a run together.
"""
