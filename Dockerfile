# One image for everything that runs Refit's code: Airflow's processes, its workers, the service, MLflow.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc g++ libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY ops/lock /tmp/lock
COPY ops/environment.py /tmp/environment.py
# As ops/environment.py installs it on any machine: pins with hashes, and NVIDIA's libraries only for a torch with CUDA.
RUN python -m venv /opt/venv && cd /tmp && PIP_NO_CACHE_DIR=1 \
    python -c "from pathlib import Path; import environment as e; e.install(Path('/opt/venv'), Path('/tmp/lock', e.RUNTIME))"

FROM python:3.11-slim-bookworm
# libgomp: LightGBM, scikit-learn and torch; tini: reaps what a worker's children leave.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home --home-dir /home/refit --shell /usr/sbin/nologin refit \
    && install -d -o refit -g refit /state /state/airflow
COPY --from=build /opt/venv /opt/venv
COPY --chown=root:root . /opt/refit
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/refit:/opt/refit/config \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    REFIT_HOME=/state \
    AIRFLOW_HOME=/state/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/refit/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/refit/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False \
    DO_NOT_TRACK=1 \
    MLFLOW_DISABLE_TELEMETRY=true
WORKDIR /opt/refit
# The code is root's and read-only to this user; everything that is written lies under /state.
USER refit
ENTRYPOINT ["tini", "--"]
CMD ["gunicorn", "-c", "serving/gunicorn.conf.py", "serving.app:create_app()"]
