"""The textbook worker: a Celery task a request, one ORM session and transaction each.

It keeps the same SOPs with the same tables, ledger and audit chain: the door (``tasks.decode``) and
the decisions (``tasks.*.decide``) are Andon's own, and so are the MACs. What differs is how a
request travels and how its rows are read and written. Tallies, which account for batches, are left
out in its favour.
"""
