"""How each program of this folder begins: with --compile or without."""

import argparse
from collections.abc import Callable

import torch

from benchmarks import tasks


def serve(
  description: str | None, build: Callable[[dict, str, bool], tasks.Task]
) -> None:
  """Takes orders until there are no more.

  Args:
    description: Of the program.
    build: (case, folder, compiled) -> task, see `tasks.serve`; compiled is
      whether torch.compile is to be used.
  """
  parser = argparse.ArgumentParser(description=description)
  parser.add_argument("--compile", action="store_true")
  compiled = parser.parse_args().compile
  tasks.serve(
    lambda case, folder: build(case, folder, compiled), torch.from_numpy
  )
