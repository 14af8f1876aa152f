# The registry as an image: docker build -t zot .
# It runs as a user without rights, keeps its data in /var/lib/zot and reads /etc/zot/config.json.
FROM python:3.13-slim AS build
WORKDIR /source
COPY setup.py pyproject.toml constraints.txt README.md ./
COPY zot zot
COPY cli cli
RUN python -m venv /opt/zot && /opt/zot/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/zot --create-home zot
COPY --from=build /opt/zot /opt/zot
COPY examples/deploy/config.json /etc/zot/config.json
ENV PATH=/opt/zot/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
VOLUME /var/lib/zot
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
ENTRYPOINT ["zot"]
CMD ["serve", "/etc/zot/config.json"]
