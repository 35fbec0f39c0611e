# Two images: the last stage has everything that runs Refit's code but the service (Airflow's processes, its workers,
# MLflow); the stage `service` is a service alone.
FROM python:3.11-slim-bookworm AS compilers
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc g++ libc6-dev \
    && rm -rf /var/lib/apt/lists/*

FROM compilers AS service-environment
COPY ops/lock/service.txt /tmp/service.txt
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r /tmp/service.txt \
    && /opt/venv/bin/pip uninstall --yes --quiet setuptools pip
# Without what no service loads: tests, headers, other languages' dates, other clouds' calls and clients, compilers'
# helpers, a second copy of ONNX Runtime for C programs, marks for debuggers.
RUN cd /opt/venv/lib/python3.11/site-packages \
    && rm -rf pyarrow/tests pyarrow/include pyarrow/includes pyarrow/src pyarrow/*.pyx pyarrow/*.pxd pyarrow/*flight* \
        pyarrow/_pyarrow_cpp_tests* pyarrow/libarrow_python*.so pyarrow/libarrow_python*.so.*.*.* \
        onnxruntime/capi/libonnxruntime.so.* onnxruntime/transformers onnxruntime/tools onnxruntime/quantization \
        sqlalchemy/testing supervisor/tests numpy/distutils numpy/f2py databricks/sdk mlflow/assistant mlflow/langchain \
    && find babel/locale-data -name '*.dat' ! -name 'root.dat' ! -name 'en*' ! -name 'vi*' -delete \
    && find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name 's3*' ! -name 'sts' ! -name 'sso*' -exec rm -rf {} + \
    && find numpy -type d -name tests -prune -exec rm -rf {} + \
    && find . -name '*.pyi' -delete \
    && find sqlalchemy yaml -name '*.so' -exec strip --strip-debug {} + \
    && find . -type d -name __pycache__ -prune -exec rm -rf {} +
# What is left is all that there has to be, and of it what is loaded is compiled.
COPY . /tmp/refit
RUN cd /tmp/refit && REFIT_HOME=/tmp/home PYTHONPATH=.:config /opt/venv/bin/python -m ops.containers load serving

FROM python:3.11-slim-bookworm AS system
# libgomp: LightGBM, scikit-learn and torch; tini: reaps what a worker's children leave.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 tini \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && useradd --uid 10001 --create-home --home-dir /home/refit --shell /usr/sbin/nologin refit \
    && install -d -o refit -g refit /state /state/airflow /state/var /state/var/trusted_keys /state/var/reports
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/refit:/opt/refit/config \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    REFIT_HOME=/state \
    DO_NOT_TRACK=1 \
    MLFLOW_DISABLE_TELEMETRY=true
WORKDIR /opt/refit
# The code is root's and read-only to this user; everything that is written lies under /state.
ENTRYPOINT ["tini", "--"]

FROM system AS service
COPY --from=service-environment /opt/venv /opt/venv
COPY --chown=root:root config config
COPY --chown=root:root ml ml
COPY --chown=root:root ops ops
COPY --chown=root:root serving serving
COPY --chown=root:root refit.toml refit.toml
USER refit
CMD ["supervisord", "-c", "ops/service.conf"]

FROM compilers AS environment
# cpu: PyTorch's own index, without NVIDIA's libraries; cuda: PyPI's, with them.
ARG TORCH=cpu
COPY ops/lock/runtime.txt ops/lock/torch-cpu.txt ops/lock/torch.txt ops/lock/cuda.txt /tmp/lock/
COPY ops/environment.py /tmp/environment.py
# As ops/environment.py installs it on any machine: pins with hashes.
RUN python -m venv /opt/venv && cd /tmp && PIP_NO_CACHE_DIR=1 TORCH="$TORCH" \
    python -c "import os; from pathlib import Path; import environment as e; \
e.install(Path('/opt/venv'), Path('/tmp/lock', e.RUNTIME), os.environ['TORCH'])"
# Dask: a task asks a cluster, and its workers are this image (docs/engine.md).
COPY ops/lock/engine.txt /tmp/lock/
RUN cd /tmp && PIP_NO_CACHE_DIR=1 \
    python -c "from pathlib import Path; import environment as e; e.install(Path('/opt/venv'), Path('/tmp/lock', e.ENGINE))"

FROM system
COPY --from=environment /opt/venv /opt/venv
COPY --chown=root:root . .
ENV AIRFLOW_HOME=/state/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/refit/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/refit/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False
USER refit
CMD ["gunicorn", "-c", "serving/gunicorn.conf.py", "serving.app:create_app()"]
