# The web page. It asks people for a password: set EARTHFIELD_DASHBOARD_PASSWORD.
# docker build --file infra/images/dashboard.Dockerfile --tag earthfield/dashboard .
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
      --constraint constraints.txt --requirements pyproject.toml --extra dashboard \
 && find /opt/earthfield/lib -depth -type d \( -name tests -o -path '*/pyarrow/include' -o -path '*/torch/include' \) \
      -exec rm -rf {} +
COPY . .
RUN --mount=type=cache,id=earthfield-uv,target=/var/cache/uv \
    /opt/uv/bin/uv pip install --python /opt/earthfield --no-deps --compile-bytecode .

FROM python
COPY --from=builder /opt/earthfield /opt/earthfield
ENV PATH=/opt/earthfield/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/var/lib/earthfield \
    EARTHFIELD_ROOT=/data \
    EARTHFIELD_STATE=/var/lib/earthfield \
    EARTHFIELD_DASHBOARD_HOST=0.0.0.0 \
    EARTHFIELD_DASHBOARD_PORT=8800
WORKDIR /srv/earthfield
USER 10001:10001
EXPOSE 8800
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:8800/_stcore/health', timeout=4)"]
CMD ["python", "-m", "earthfield_dashboard"]
