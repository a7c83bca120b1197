# Luigid with our scheduler: port 8082, state and history in /state. Built by `make image`.
# It runs as uid 10001 on a read-only root filesystem, writes below /state and /tmp only, and starts no shell.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
# pip stays in this stage.
RUN python -m venv /opt/pip && python -m venv --without-pip /opt/dsp
ENV PATH=/opt/pip/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY docker/luigid.lock ./
# The secret is for networks with a certificate authority of their own; no layer holds it.
RUN --mount=type=secret,id=ca_bundle \
    if [ -f /run/secrets/ca_bundle ]; then export PIP_CERT=/run/secrets/ca_bundle; fi; \
    pip --python /opt/dsp/bin/python install --quiet --no-deps --only-binary=:all: --require-hashes -r luigid.lock \
    && pip --python /opt/dsp/bin/python check
COPY scheduler /app/scheduler
RUN python -m compileall -q /app/scheduler

FROM ${BASE}
# Nobody installs anything here any more.
RUN rm -rf /usr/local/lib/python3*/site-packages/* \
    && groupadd --gid 10001 dsp \
    && useradd --uid 10001 --gid dsp --no-create-home --home-dir /tmp --shell /usr/sbin/nologin --no-log-init dsp \
    && install --directory --owner=dsp --group=dsp --mode=0750 /state
COPY --from=build /opt/dsp /opt/dsp
COPY --from=build /app /app
# As the working directory's luigi.cfg, so that no other can be in its place.
COPY docker/luigid.cfg /app/luigi.cfg
WORKDIR /app
ENV PATH=/opt/dsp/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Declared here, so that a volume that a platform puts there keeps the owner and the mode of these folders.
VOLUME ["/state", "/tmp"]
USER 10001:10001
EXPOSE 8082
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-m", "scheduler", "health"]
ENTRYPOINT ["python", "-m", "scheduler"]
# By itself it listens on loopback; who may reach a container is for its network to say.
CMD ["--address", "0.0.0.0"]
ARG REVISION=""
ENV DSP_REVISION=${REVISION}
LABEL org.opencontainers.image.title="dsp-luigid" \
      org.opencontainers.image.revision="${REVISION}"
