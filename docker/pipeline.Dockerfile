# All tasks: `docker run IMAGE DailyPipeline --date yesterday`. Built by `make image`.
# It runs as uid 10001 on a read-only root filesystem, writes below /tmp only, and starts no shell.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS dependencies
# pip stays in this stage.
RUN python -m venv /opt/pip && python -m venv --without-pip /opt/dsp
ENV PATH=/opt/pip/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY docker/pipeline.lock ./
# The secret is for networks with a certificate authority of their own; no layer holds it. Wheels bring test suites, C
# headers and type stubs, which nothing here reads. Bytecode is kept, for a read-only root could not hold it later.
RUN --mount=type=secret,id=ca_bundle \
    if [ -f /run/secrets/ca_bundle ]; then export PIP_CERT=/run/secrets/ca_bundle; fi; \
    pip --python /opt/dsp/bin/python install --quiet --no-deps --only-binary=:all: --require-hashes -r pipeline.lock \
    && pip --python /opt/dsp/bin/python check \
    && find /opt/dsp/lib -depth -type d \( -name tests -o -name include \) -exec rm -r {} + \
    && find /opt/dsp/lib -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.a' \) -delete

FROM dependencies AS source
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY dsp_pipeline dsp_pipeline
COPY scheduler scheduler
COPY targets targets
COPY tasks tasks
COPY console console
RUN pip --python /opt/dsp/bin/python install --quiet --no-deps --no-build-isolation --target /app .

FROM ${BASE}
# Nobody installs anything here any more.
RUN rm -rf /usr/local/lib/python3*/site-packages/* \
    && groupadd --gid 10001 dsp \
    && useradd --uid 10001 --gid dsp --no-create-home --home-dir /tmp --shell /usr/sbin/nologin --no-log-init dsp
# A commit changes the second of these, which is small: the first is pushed and pulled only when the lock has changed.
COPY --from=dependencies /opt/dsp /opt/dsp
COPY --from=source /app /app
# As the working directory's luigi.cfg, so that no other can be in its place.
COPY docker/production.cfg /app/luigi.cfg
WORKDIR /app
ENV PATH=/app/bin:/opt/dsp/bin:$PATH PYTHONPATH=/app HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Declared here, so that a volume that a platform puts there keeps the owner and the mode of this folder.
VOLUME ["/tmp"]
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["luigi", "--module", "tasks"]
# Last, because it changes with every commit: receipts name the revision, `[dsp] environment = branch` needs the branch.
ARG REVISION=""
ARG BRANCH=""
ENV DSP_REVISION=${REVISION} DSP_BRANCH=${BRANCH}
LABEL org.opencontainers.image.title="dsp-pipeline" \
      org.opencontainers.image.revision="${REVISION}"
