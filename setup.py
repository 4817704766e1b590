"""Installs lc_keras, its trainers and their configs, and its server."""

import pathlib
import re

import setuptools

_ROOT = pathlib.Path(__file__).parent
_VERSION = re.search(
  r'^__version__ = "(.+)"$',
  (_ROOT / "lc_keras/version.py").read_text(),
  re.MULTILINE,
)[1]

setuptools.setup(
  name="lc-keras",
  version=_VERSION,
  description="Latent constraints for any frozen generative model",
  license="Apache-2.0",
  license_files=["LICENSE", "NOTICE"],
  python_requires=">=3.11,<3.14",
  packages=[
    *setuptools.find_packages(include=["lc_keras*", "trainers*", "serving*"]),
    "trainers.configs",
  ],
  # No top-level package `configs` on people's path.
  package_dir={"trainers.configs": "configs"},
  package_data={
    "": ["*.css", "*.npz", "labels/*", "templates/*"],
    "lc_keras": ["presets/**"],
    "trainers.configs": ["*/*.cfg"],
  },
  # What CI runs with exactly stands in requirements.lock.
  install_requires=[
    "absl-py>=2.1",
    "aiohttp>=3.12",
    "etils[epy]>=1.9",
    "grpcio>=1.70",
    "grpcio-health-checking>=1.70",
    "h5py>=3.11",
    # tensorflow-datasets 4.9.10 imports it without asking for it.
    "importlib_resources>=6",
    "jinja2>=3.1",
    "keras>=3.15,<3.16",
    "lark>=1.2",
    "matplotlib>=3.9",
    "numpy>=2",
    "pandas>=2.2",
    "pillow>=11",
    "prometheus-client>=0.22",
    "protobuf>=6.31",
    "scikit-learn>=1.5",
    "scipy>=1.13",
    "tensorboard>=2.20",
    "tensorflow>=2.21,<2.22",
    "tensorflow-datasets>=4.9.10,<5",
    # [tf]: it needs tf_keras.
    "tensorflow-probability[tf]>=0.25,<0.26",
    "tensorflow-serving-api>=2.19",
    "tqdm>=4.66",
  ],
  entry_points={
    "console_scripts": ["lc-keras = trainers.command_line:main"],
  },
  extras_require={
    # For GPUs: the CUDA libraries that this TensorFlow was built for.
    "cuda": ["tensorflow[and-cuda]>=2.21,<2.22"],
    # For bulk/, which is run from a checkout, on other runners than local. It
    # wants an older protobuf than requirements.lock has, so that CI has it in a
    # venv of its own, from requirements-beam.lock.
    "beam": ["apache-beam>=2.77,<3"],
    # Other people's generators in ONNX files.
    "onnx": ["onnxruntime>=1.20"],
    "dev": [
      "hypothesis>=6",
      "ipykernel>=7",
      "nbclient>=0.10",
      "onnxruntime>=1.20",
      "playwright>=1.60",
      "psutil>=7",
      "pytest>=8",
      "pyyaml>=6",
      "ruff>=0.9",
      "trustme>=1.2",
    ],
    "studio": ["fastapi>=0.115", "nicegui>=3.13,<4", "uvicorn>=0.34"],
    # To rebuild the sprite bank; npm is needed too.
    "sprites": ["resvg_py>=0.2"],
  },
)
