FROM python:3.13.9-slim-bookworm AS build
RUN pip install --no-cache-dir uv==0.13.8
WORKDIR /build
COPY . .
ENV UV_PROJECT_ENVIRONMENT=/opt/holdfast UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
RUN uv sync --no-dev --no-editable --no-python-downloads

FROM python:3.13.9-slim-bookworm
# bubblewrap makes the sandbox; it needs no rights of its own, only deploy/seccomp-worker.json (see docker-compose.yml).
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bubblewrap \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home holdfast \
    && install --directory --owner=holdfast --group=holdfast /data /project
COPY --from=build /opt/holdfast /opt/holdfast
ENV PATH=/opt/holdfast/bin:$PATH HOLDFAST_HOME=/data
USER 1000
WORKDIR /project
VOLUME ["/data"]
EXPOSE 8000
ENTRYPOINT ["holdfast"]
CMD ["serve"]
