"""What people touch: the `andon` command, and the servers it brings for a first run."""
