"""How zot is packaged; settings of the tools are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "zot/__init__.py").read_text())[1]

setup(
    name="zot",
    version=VERSION,
    description="A container registry that serves the OCI distribution API",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    python_requires=">=3.11",
    packages=find_packages(include=["zot", "zot.*", "cli", "cli.*"]),
    install_requires=[
        "apscheduler>=3.11,<4",
        "authlib>=1.6,<2",
        "bcrypt>=4.1",
        # The first that sends conditions with every write, and lets one choose the checksums.
        "boto3>=1.36",
        "click>=8.4",
        "cryptography>=43",
        "flask>=3.1,<4",
        "flask-login>=0.6.3,<0.7",
        "google-re2>=1.1",
        "joserfc>=1.3,<2",
        # The server reaches into gunicorn's thread worker and body readers, which are not public.
        "gunicorn>=27,<28",
        "ldap3>=2.9.1,<3",
        # passlib, which nobody maintains any more, under its own name.
        "libpass>=1.9",
        "platformdirs>=4",
        "prometheus-client>=0.20",
        "prometheus-flask-exporter>=0.23",
        "pydantic>=2.7,<3",
        "pyyaml>=6",
        "requests>=2.32,<3",
        "rich>=13",
        "urllib3>=2.6,<3",
        "wcmatch>=10",
    ],
    extras_require={
        "test": [
            "pytest>=8",
            "jsonschema>=4.20",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "trustme>=1.1",
            "moto[s3]>=5",
            "flask-cors>=5",
        ],
        "dev": [
            "mypy>=1.15",
            "ruff>=0.9",
            "import-linter>=2",
            "pytest-cov>=6",
            "types-PyYAML",
            "types-jsonschema",
            "types-boto3[s3]",
            "types-ldap3",
            "types-gunicorn",
            "types-passlib",
            "tox>=4",
        ],
    },
    entry_points={"console_scripts": ["zot = cli.main:main"]},
)
