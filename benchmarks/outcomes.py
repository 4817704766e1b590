"""What a benchmark says, writes and draws in the end."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import figure
from PIL import Image

from benchmarks import figures
from lc_keras import files
from lc_keras import plotting

FOLDER = "benchmarks/results"


def report(
  name: str,
  comparisons: Sequence[Mapping],
  targets: Sequence[Mapping] = (),
  machine: Mapping | None = None,
  folder: str = FOLDER,
  picture: Image.Image | None = None,
  **more,
) -> None:
  """Prints what was measured and writes <name>.json and <name>.png.

  Args:
    name: Of the benchmark.
    comparisons: What `pairs.compare` or `figures.comparison` returned; the
      first one stands for all.
    targets: What `figures.target` returned.
    machine: What `figures.machine` returned, before anything was timed.
    folder: Where to; made if needed.
    picture: What is drawn; by default bars of the comparisons.
    **more: Written as well.
  """
  print(f"\n{name} on {machine}")
  for row in comparisons:
    _print_comparison(row)
  for row in targets:
    said = "met" if row["met"] else "MISSED"
    print(f"{said}: {row['name']}: {row['measured']:.4g} ({row['wanted']})")
  first = {"sgemm_share": None, **comparisons[0]}
  keys = ("unit", "ours", "peer", "ratio", "sgemm_share")
  results = {
    "name": name,
    **{key: first[key] for key in keys},
    "machine": machine,
    "targets": list(targets),
    "comparisons": list(comparisons),
    **more,
  }
  os.makedirs(folder, exist_ok=True)
  path = os.path.join(folder, name)
  files.write_json(f"{path}.json", results)
  plotting.save(picture or bars(comparisons), f"{path}.png")
  print(f"Written: {path}.json, {path}.png")


def _print_comparison(row):
  name, unit = row["name"], row["unit"]
  rates = row.get("rates") or {"ours": [row["ours"]], "peer": [row["peer"]]}
  peaks, shares, cpu = (
    row.get(key, {})
    for key in ("peak_bytes", "sgemm_shares", "cpu_ms_per_step")
  )
  print(f"\n{name}")
  for key, values in rates.items():
    words = [f"{np.median(values):10.4g} {unit}"]
    if key in shares:
      words.append(f"{shares[key]['median']:5.0%} of sgemm")
    if key in cpu:
      words.append(f"{cpu[key]['median']:.4g} ms of CPU a step")
    if peaks.get(key):
      words.append(f"peak {peaks[key] / 2**20:.0f} MiB")
    print(f"  {key:16}{'  '.join(words)}")
  for one in [row, *row.get("others", ())]:
    if not (ratio := one["ratio"]):
      continue
    peer = one.get("peer_name") or one["name"].rpartition(" : ")[2]
    print(
      f"  ours : {peer:20}{ratio['median']:6.2f}"
      f" ({ratio['min']:.2f} to {ratio['max']:.2f})"
    )


def ratio_targets(
  comparisons: Sequence[Mapping], least: Mapping[str, float]
) -> list[dict]:
  """Returns, for every comparison and peer, whether we are far enough ahead.

  Args:
    comparisons: What `pairs.compare` returned.
    least: The ratio that is wanted, by name of a peer.
  """
  targets = []
  for row in comparisons:
    ratios = {row["peer_name"]: row["ratio"]["median"]}
    for one in row["others"]:
      peer = one["name"].rpartition(" : ")[2]
      ratios[peer] = one["ratio"]["median"]
    targets += [
      figures.target(
        f"{row['name']}, ours : {peer}",
        f">= {least[peer]:g}",
        ratio,
        ratio >= least[peer],
      )
      for peer, ratio in ratios.items()
      if peer in least
    ]
  return targets


def bars(comparisons: Sequence[Mapping]) -> Image.Image:
  """Draws who is how fast, as multiples of the peer's speed where there is one.

  Args:
    comparisons: With "rates", and "peer_name" or None.
  """
  chart = figure.Figure(figsize=(10, 4.5), dpi=100, layout="constrained")
  axis = chart.subplots()
  keys = list(dict.fromkeys(key for row in comparisons for key in row["rates"]))
  width = 0.8 / max(len(row["rates"]) for row in comparisons)
  colours = {key: style["color"] for key, style in zip(keys, plotting.styles())}
  peers = list(
    dict.fromkeys(row["peer_name"] for row in comparisons if row["peer"])
  )
  drawn = set()
  for place, row in enumerate(comparisons):
    for number, (key, values) in enumerate(row["rates"].items()):
      rates = np.array(values)
      heights = rates / row["rates"][row["peer_name"]] if row["peer"] else rates
      middle = float(np.median(heights))
      x = place + (number - (len(row["rates"]) - 1) / 2) * width
      axis.bar(
        x,
        middle,
        width,
        color=colours[key],
        yerr=[[middle - heights.min()], [heights.max() - middle]],
        capsize=3,
        label=None if key in drawn else key,
      )
      drawn.add(key)
      axis.annotate(
        f"{np.median(rates):.4g}",
        (x, 0.0),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        fontsize=8,
        color="white",
      )
  units = ", ".join(dict.fromkeys(row["unit"] for row in comparisons))
  if peers:
    axis.axhline(1.0, color="grey", linestyle=":")
    units = f"speed, {' or '.join(peers)} = 1 (on the bars: {units})"
  axis.set(
    xticks=range(len(comparisons)),
    xticklabels=[row["name"].replace(": ", "\n") for row in comparisons],
    ylabel=units,
  )
  axis.legend(fontsize=8)
  return plotting.drawn(chart)
