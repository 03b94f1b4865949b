"""gunicorn's settings for a constant under kerasd's own worker class."""

from service.web import child_exit, post_worker_init, pre_fork

__all__ = ["child_exit", "post_worker_init", "pre_fork"]

worker_class = "service.worker.WebWorker"
