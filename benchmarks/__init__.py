"""What backs every figure in the README; run with ``make bench``."""
