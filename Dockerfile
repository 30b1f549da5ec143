# The service on CPU; --build-arg REQUIREMENTS=requirements-gpu.txt makes the GPU image of the same file.
FROM python:3.11-slim-bookworm AS dependencies
ARG REQUIREMENTS=requirements.txt
COPY ${REQUIREMENTS} /tmp/requirements.txt
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /tmp/requirements.txt

FROM python:3.11-slim-bookworm
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 C3D_MODEL_STORE=/models
COPY --from=dependencies /opt/venv /opt/venv
WORKDIR /srv
COPY model_store model_store
COPY service service
# A named volume takes over this directory's owner.
RUN install -d -o 10001 -g 10001 /models
VOLUME /models
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
CMD ["python", "-m", "service"]
