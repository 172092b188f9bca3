# Twinbeam with Java and the jars of Beam's runner for Flink: the image of a JobManager, of TaskManagers, whose workers
# are processes beside them, and of the command line that submits jobs to them.
FROM maven:3.9.9-eclipse-temurin-17 AS jars
WORKDIR /build
COPY pipelines/flink/flink_pom.xml ./
RUN mvn -q -B -f flink_pom.xml dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="/cache/twinbeam/jars/flink-$(sha256sum flink_pom.xml | cut -c1-16)"

FROM eclipse-temurin:17.0.15_6-jdk-jammy AS java

FROM python:3.11.13-slim-bookworm
COPY --from=java /opt/java/openjdk /opt/java/openjdk
COPY --from=jars /cache /opt/twinbeam
ENV JAVA_HOME=/opt/java/openjdk \
    PATH=/opt/java/openjdk/bin:$PATH \
    XDG_CACHE_HOME=/opt/twinbeam \
    PYTHONUNBUFFERED=1
COPY LICENSE README.md pyproject.toml setup.py /source/
COPY pipelines /source/pipelines
COPY schemas /source/schemas
COPY serving /source/serving
COPY transforms /source/transforms
COPY twinbeam /source/twinbeam
RUN pip install --no-cache-dir '/source[pipeline,server,tokens,kafka,cassandra]' \
    && rm -rf /source \
    && ln -s /opt/twinbeam/twinbeam/jars/flink-* /opt/flink \
    && useradd --uid 1000 --create-home twinbeam \
    && install -d -o twinbeam -g twinbeam /var/lib/flink /project
USER twinbeam
WORKDIR /project
CMD ["twinbeam", "--help"]
