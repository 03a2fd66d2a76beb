"""Packages and the data that travels with them; everything else stands in pyproject.toml."""

from setuptools import find_packages, setup

DATA = {"accelsim.models": "models", "accelsim.hw_configs": "hw_configs"}

setup(
    packages=[*find_packages(include=["accelsim", "accelsim.*"]), *DATA],
    package_dir=DATA,
    package_data={
        "accelsim": ["py.typed"],
        "accelsim.report": ["*.json", "templates/*"],
        "accelsim.rtl": ["sv/*.sv"],
        "accelsim.models": ["*.yaml", "*/*.yaml", "austen-12m/*"],
        "accelsim.hw_configs": [
            "*.yaml",
            "*/*.yaml",
            "*/*/*.yaml",
            "*/*/*.json",
            "*/*.csv",
            "*/*.md",
        ],
    },
)
