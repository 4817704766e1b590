# Both roles, training and serving, in one image:
#
#   docker build -t lc-keras .
#   docker run lc-keras trainers.demo_from_scratch --config=demo ...
#   docker run lc-keras serving.server --model_name=... --model_base_path=...
#
# docs/deployment.md has the rest.

FROM python:3.11-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements.lock ./
# Apart, and first: it changes least and takes longest. Installs the packages of
# setup.py in the versions of the lock.
COPY setup.py LICENSE NOTICE ./
COPY lc_keras/version.py lc_keras/version.py
RUN pip install --no-cache-dir --constraint requirements.lock wheel \
 && mkdir configs \
 && pip install --no-cache-dir --no-build-isolation \
      --constraint requirements.lock .
COPY lc_keras lc_keras
COPY trainers trainers
COPY serving serving
COPY configs configs
RUN pip install --no-cache-dir --no-build-isolation --no-deps \
      --force-reinstall .

FROM python:3.11-slim-bookworm
# The same number as in deploy/: a read-only file system has no name for it.
RUN useradd --uid 65532 --no-create-home --shell /usr/sbin/nologin lckeras
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
# Flagfiles are named by their path below this folder.
COPY configs configs
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["python", "-m"]
CMD ["serving.server", "--help"]
