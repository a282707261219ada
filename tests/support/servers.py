"""The servers of one test process."""

from dataclasses import dataclass

from sqlalchemy.engine import make_url

from console.embedded import Postgres, PostgresUrls, Redis


@dataclass(frozen=True, slots=True)
class Servers:
    """Both servers, and how to reach them."""

    postgres_urls: PostgresUrls
    redis_url: str
    postgres: Postgres
    redis: Redis

    def urls_of(self, database: str) -> PostgresUrls:
        """The URLs of another database of the same server."""

        def moved(url: str) -> str:
            return make_url(url).set(database=database).render_as_string(hide_password=False)

        urls = self.postgres_urls
        return PostgresUrls(
            owner=moved(urls.owner),
            worker=moved(urls.worker),
            gateway=moved(urls.gateway),
            superuser=moved(urls.superuser),
        )
