"""What runs: the Celery app, its settings, the intake step and the intake engines."""
