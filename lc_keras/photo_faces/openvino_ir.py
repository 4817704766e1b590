"""Reads networks in OpenVINO's format: a graph as XML, and its constants."""

import dataclasses
import functools
import math
import xml.etree.ElementTree

import numpy as np

_TYPES = {"f32": np.float32, "i64": np.int64, "i32": np.int32}


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
  """An operation, or a constant.

  Attributes:
    kind: Its type, such as "MatMul" or "Const".
    settings: Attributes of its layer, as text: {"pads_begin": "1, 1"}.
    inputs: Its input nodes, and for each the number of the output.
    shapes: Shapes of its outputs, for a batch of one.
    value: The array of a constant; else None.
  """

  kind: str
  settings: dict[str, str]
  inputs: list[tuple["Node", int]]
  shapes: list[tuple[int, ...]]
  value: np.ndarray | None = None

  @property
  def shape(self) -> tuple[int, ...]:
    """Shape of its first output."""
    return self.shapes[0]

  @property
  def sources(self) -> list["Node"]:
    """Its input nodes."""
    return [node for node, _ in self.inputs]

  @functools.cached_property
  def constant(self) -> np.ndarray | None:
    """The first constant among its inputs; None if there is none."""
    found = [node.value for node in self.sources if node.value is not None]
    return found[0] if found else None


def read(path: str) -> list[Node]:
  """Returns the nodes of a network, each after its inputs.

  Args:
    path: Path of the .xml file; the constants are in the .bin file beside it.
  """
  root = xml.etree.ElementTree.parse(path).getroot()
  with open(path.removesuffix(".xml") + ".bin", "rb") as file:
    blob = file.read()
  wires = {}
  for edge in root.find("edges"):
    wires.setdefault(edge.get("to-layer"), []).append(edge)
  nodes, ports = {}, {}
  for layer in root.find("layers"):
    name, settings = layer.get("id"), layer.find("data")
    settings = {} if settings is None else dict(settings.attrib)
    outputs = layer.findall("output/port")
    for place, port in enumerate(outputs):
      ports[name, port.get("id")] = place
    incoming = sorted(wires.get(name, []), key=lambda e: int(e.get("to-port")))
    nodes[name] = Node(
      layer.get("type"),
      settings,
      [
        (
          nodes[edge.get("from-layer")],
          ports[edge.get("from-layer"), edge.get("from-port")],
        )
        for edge in incoming
      ],
      [tuple(int(dim.text) for dim in port) for port in outputs],
      _constant(settings, blob) if layer.get("type") == "Const" else None,
    )
  return list(nodes.values())


def _constant(settings, blob):
  kind = _TYPES[settings["element_type"]]
  shape = [int(size) for size in settings["shape"].split(",") if size.strip()]
  count, offset = math.prod(shape), int(settings["offset"])
  return np.frombuffer(blob, kind, count, offset).reshape(shape)
