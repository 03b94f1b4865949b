# The first stage installs; the second holds only what runs, without pip's caches.
FROM python:3.12-slim AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/kerasd
WORKDIR /src

# The libraries change seldom and are large: they are a layer of their own, made anew only when these files change.
COPY pyproject.toml constraints.txt ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        > requirements.txt \
    && /opt/kerasd/bin/pip install -c constraints.txt -r requirements.txt

COPY LICENSE README.md ./
COPY service ./service
RUN /opt/kerasd/bin/pip install --no-deps .


FROM python:3.12-slim

RUN useradd --system --uid 10001 --user-group --no-create-home kerasd \
    && install --directory --owner=kerasd --group=kerasd /data
COPY --from=build /opt/kerasd /opt/kerasd

ENV PATH=/opt/kerasd/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    KERASD_DATA=/data \
    KERASD_HOST=0.0.0.0

# A user by number: an orchestrator can see that it is not root.
USER 10001:10001
WORKDIR /tmp
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["kerasd", "health"]
ENTRYPOINT ["kerasd"]
CMD ["serve"]
