"""For Celery's own command line: ``celery -A worker.celery_app …``, set up by the environment."""

from worker.app import make_app
from worker.settings import load_settings

app = make_app(load_settings())
