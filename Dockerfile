# The planner in an image: `planner serve` by itself, any other command by its name. See docs/operations.md.
# Nothing in it is written to but /data, so it runs with a read-only root.

FROM python:3.11-slim-bookworm AS build
WORKDIR /planner
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv .venv
COPY requirements requirements
RUN .venv/bin/python -m pip install --quiet --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md planner.py ./
RUN .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .

# GraphiQL's files come by npm, which is left behind here.
FROM build AS explorer
COPY web web
RUN .venv/bin/python -m web.graphiql.install

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin planner \
 && install --directory --owner planner --group planner --mode 700 /data
WORKDIR /planner
COPY --from=build /planner/.venv .venv
COPY pyproject.toml README.md LICENSE planner.py app.py errors.py settings.py ./
COPY auth auth
COPY calendars calendars
COPY cli cli
COPY executor executor
COPY models models
COPY replicas replicas
COPY schema schema
COPY web web
COPY --from=explorer /planner/web/graphiql/files web/graphiql/files
# Here, since nothing can be written later; without it each start would compile all anew.
RUN .venv/bin/python -m compileall -q -j 0 .venv ./*.py auth calendars cli executor models replicas schema web
ENV PATH=/planner/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DATABASE_URL=sqlite:///data/planner.sqlite3 \
    HOST=0.0.0.0 \
    PORT=8000
USER 10001:10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# Not /health/ready: who restarts what is unhealthy would restart all servers when the database is away.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import http.client, os, sys; ask = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=3); ask.request('GET', '/health/live'); sys.exit(ask.getresponse().status != 200)"]
ENTRYPOINT ["planner"]
CMD ["serve"]
