# syntax=docker/dockerfile:1

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src

# What changes seldom first: the pinned dependencies are a layer of their own.
COPY requirements/runtime.lock requirements/build.lock requirements/
RUN python -m venv /opt/andon \
    && /opt/andon/bin/pip install --require-hashes --requirement requirements/runtime.lock \
    && pip install --require-hashes --requirement requirements/build.lock

COPY pyproject.toml README.md LICENSE ./
COPY policy policy
COPY models models
COPY tasks tasks
COPY producers producers
COPY worker worker
COPY migrations migrations
COPY console console
COPY deploy/postgresql/rights.sql deploy/postgresql/rights.sql
RUN python -m hatchling build --target wheel \
    && /opt/andon/bin/pip install --no-deps dist/andon-*.whl


FROM python:3.11-slim
RUN groupadd --system --gid 10001 andon \
    && useradd --system --uid 10001 --gid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin andon \
    && install --directory --owner=10001 --group=10001 --mode=700 /var/lib/andon
COPY --from=build /opt/andon /opt/andon
ENV PATH=/opt/andon/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 10001:10001
# The worker finishes what is in its pool and takes nothing new: give it 40 s before it is killed.
STOPSIGNAL SIGTERM
ENTRYPOINT ["andon"]
CMD ["worker"]
