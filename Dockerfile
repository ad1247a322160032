# docker build --build-arg VERSION="$(python -m setuptools_scm)" --tag ctao-sat .
# docker run --rm --volume "$PWD:/analysis" ctao-sat demo
ARG PYTHON=3.13

FROM python:${PYTHON} AS build
# The build context carries no .git: the version is given from outside.
ARG VERSION=0.1.0.dev0
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python3 -m venv /opt/ctao-sat \
    && SETUPTOOLS_SCM_PRETEND_VERSION="${VERSION}" \
       /opt/ctao-sat/bin/pip install --no-cache-dir ".[distributed]"

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="ctao-sat" \
      org.opencontainers.image.description="Science Analysis Tools of CTAO: Gammapy's nouns, CTAO's verbs" \
      org.opencontainers.image.licenses="BSD-3-Clause"
COPY --from=build /opt/ctao-sat /opt/ctao-sat
# A cluster may run the image under any user: the caches are writable for all, like /tmp.
RUN useradd --create-home --uid 1000 sat \
    && mkdir -p /var/cache/ctao-sat/numba /var/cache/ctao-sat/matplotlib /analysis \
    && chmod -R 1777 /var/cache/ctao-sat \
    && chown sat:sat /analysis
ENV PATH=/opt/ctao-sat/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    MPLBACKEND=Agg \
    NUMBA_CACHE_DIR=/var/cache/ctao-sat/numba \
    MPLCONFIGDIR=/var/cache/ctao-sat/matplotlib
USER sat
WORKDIR /analysis
ENTRYPOINT ["ctao-sat"]
CMD ["--help"]
