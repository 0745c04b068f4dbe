# Prefect's server, the deployments, and workers of the pools earthfield-flows and earthfield-search, whose runs need
# every service but training.
# docker build --file infra/images/flows.Dockerfile --tag earthfield/flows .
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS python
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends ca-certificates python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log \
 && groupadd --gid 10001 earthfield \
 && useradd --uid 10001 --gid 10001 --no-log-init --home-dir /var/lib/earthfield --shell /usr/sbin/nologin earthfield \
 && install --directory --owner=10001 --group=10001 /data /models /var/lib/earthfield /srv/earthfield

FROM python AS tools
# Where packages come from, by pip's and uv's own names; none of it reaches the last stage.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_CERT
WORKDIR /build
COPY constraints.txt ./
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /opt/uv \
 && /opt/uv/bin/pip install --no-cache-dir --constraint constraints.txt uv \
 && /opt/uv/bin/uv venv --python /usr/bin/python3 /opt/earthfield

FROM tools AS builder
ARG UV_DEFAULT_INDEX
ARG UV_INDEX
ARG UV_FIND_LINKS
ARG SSL_CERT_FILE
ENV UV_LINK_MODE=copy UV_CACHE_DIR=/var/cache/uv
COPY pyproject.toml ./
# Tests and headers of other packages serve nobody here.
RUN --mount=type=cache,id=earthfield-uv,target=/var/cache/uv \
    /opt/uv/bin/uv pip install --python /opt/earthfield --only-binary :all: --compile-bytecode \
      --constraint constraints.txt --requirements pyproject.toml --extra ingest --extra infer --extra search --extra flows \
 && find /opt/earthfield/lib -depth -type d \( -name tests -o -path '*/pyarrow/include' -o -path '*/torch/include' \) \
      -exec rm -rf {} +
COPY . .
RUN --mount=type=cache,id=earthfield-uv,target=/var/cache/uv \
    /opt/uv/bin/uv pip install --python /opt/earthfield --no-deps --compile-bytecode .

FROM python
COPY --from=builder /opt/earthfield /opt/earthfield
COPY prefect.yaml infra/deploy.sh /srv/earthfield/
ENV PATH=/opt/earthfield/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/var/lib/earthfield \
    EARTHFIELD_ROOT=/data \
    EARTHFIELD_STATE=/var/lib/earthfield \
    DO_NOT_TRACK=1 \
    PREFECT_HOME=/var/lib/earthfield/prefect \
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE=false \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_WORKER_WEBSERVER_PORT=8080 \
    EARTHFIELD_METRICS_HOST=0.0.0.0 \
    EARTHFIELD_METRICS_PORT=8809 \
    PREFECT_UI_STATIC_DIRECTORY=/var/lib/earthfield/prefect-pages \
    NUMBA_CACHE_DIR=/var/lib/earthfield/numba \
    MPLCONFIGDIR=/var/lib/earthfield/matplotlib
WORKDIR /srv/earthfield
USER 10001:10001
EXPOSE 4200 8080 8809
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import os, urllib.request as web; web.urlopen('http://127.0.0.1:%s/health' % os.environ['PREFECT_WORKER_WEBSERVER_PORT'], timeout=4)"]
CMD ["python", "-m", "earthfield_flows.exporter", "prefect", "worker", "start", "--type", "process", \
     "--pool", "earthfield-flows", "--with-healthcheck"]
