# The service on CPU; --build-arg REQUIREMENTS=requirements-gpu.txt makes the GPU image of the same file.
ARG BASE=python:3.13-slim-bookworm
FROM ${BASE} AS dependencies
ARG REQUIREMENTS=requirements.txt
COPY ${REQUIREMENTS} /tmp/requirements.txt
# The base image's pip installs into an environment that has none. What only compilers and test runners read is removed.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/venv \
 && pip --python /opt/venv/bin/python install --root-user-action=ignore --require-hashes -r /tmp/requirements.txt \
 && cd "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
 && rm -rf clang tensorflow/include \
 && find numpy h5py -type d -name tests -prune -exec rm -rf {} +

# The winograd engine's library. Its compiler stays in this stage.
FROM ${BASE} AS winograd
RUN apt-get update && apt-get install -y --no-install-recommends g++ make
COPY service/inference/winograd /winograd
RUN [ "$(uname -m)" != x86_64 ] || make -s -j2 -C /winograd

FROM ${BASE} AS service
# A read-only root has no home. What libraries want to keep (Keras its defaults, CUDA its kernels) goes where request files go.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp C3D_HOST=0.0.0.0 C3D_MODEL_STORE=/models
COPY --from=dependencies /opt/venv /opt/venv
# A named volume takes over this directory's owner.
RUN install -d -o 10001 -g 10001 /models
WORKDIR /srv
COPY LICENSE LICENCES.md ./
COPY model_store model_store
COPY service service
COPY --from=winograd /winograd service/inference/winograd
# Readable whatever the umask of the checkout. Compiled here, since each decoder process would compile it again.
RUN chmod -R a+rX . && python -m compileall -q .
USER 10001:10001
EXPOSE 8000
# Ready, not only alive: whatever waits for a healthy container wants answers. No urllib: it would send this through a proxy.
HEALTHCHECK --interval=10s --timeout=5s --start-period=600s --start-interval=2s \
  CMD ["python", "-Ic", "import http.client as h, os; c = h.HTTPConnection('127.0.0.1', int(os.getenv('C3D_PORT') or 8000), timeout=4); c.request('GET', '/readyz', headers={'Authorization': 'Bearer ' + os.getenv('C3D_API_KEY', '').split(',')[0]}); exit(c.getresponse().status != 200)"]
CMD ["python", "-m", "service"]
ARG BASE
ARG VERSION=0.1.0 REVISION= SOURCE=
LABEL org.opencontainers.image.title="C3D video inference" \
      org.opencontainers.image.description="What C3D sees in a video: its Sports-1M labels, its fc6 descriptor" \
      org.opencontainers.image.version=$VERSION \
      org.opencontainers.image.revision=$REVISION \
      org.opencontainers.image.source=$SOURCE \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name=$BASE

# docker build --target corpus --tag c3d-corpus . makes the image of `python -m corpus`: the service's, and Ray.
FROM service AS corpus
USER root
# KubeRay asks its pods by wget whether they are well.
RUN apt-get update && apt-get install -y --no-install-recommends wget && rm -rf /var/lib/apt/lists/*
# An environment of its own that sees the service's, so that the two images share their layers.
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=requirements-corpus.txt,target=/tmp/requirements.txt \
    python -m venv --without-pip /opt/corpus \
 && python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
    > "$(/opt/corpus/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/service.pth" \
 && /usr/local/bin/pip --python /opt/corpus/bin/python install --root-user-action=ignore --require-hashes -r /tmp/requirements.txt
ENV PATH=/opt/corpus/bin:$PATH PYTHONPATH=/srv
COPY client/c3d_video c3d_video
COPY corpus corpus
RUN chmod -R a+rX . && python -m compileall -q c3d_video corpus
USER 10001:10001
HEALTHCHECK NONE
CMD ["python", "-m", "corpus", "--help"]

# What is built where no target is named.
FROM service
