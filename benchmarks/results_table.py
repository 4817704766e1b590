"""Puts results into docs/performance.md: python -m benchmarks.results_table.

One table of results/*.json, between two marks; nothing else in the page is
touched. `make bench` does it in the end. The server's are in docs/serving.md.
"""

import json
import pathlib

from absl import app

from benchmarks import outcomes
from lc_keras import files

_PAGE = "docs/performance.md"
_BEGIN, _END = "<!-- results -->", "<!-- end of results -->"
_HEAD = """\
| benchmark | case | ours | ratio to | median (min to max) | share of sgemm |
|---|---|---|---|---|---|"""
# More than this many cores in use before a benchmark began is not a quiet
# machine.
_QUIET = 0.3


def update(
  folder: str | pathlib.Path = outcomes.FOLDER,
  page: str | pathlib.Path = _PAGE,
) -> None:
  """Rewrites the table of a page.

  Args:
    folder: With the results.
    page: With both marks, on lines of their own.

  Raises:
    ValueError: The page has no marks.
  """
  text = pathlib.Path(page).read_text(encoding="utf-8")
  before, begin, rest = text.partition(_BEGIN)
  _, end, after = rest.partition(_END)
  if not begin or not end:
    raise ValueError(
      f"{page} has no lines {_BEGIN} and {_END} to write between."
    )
  with files.replacing(str(page)) as aside:
    pathlib.Path(aside).write_text(
      f"{before}{_BEGIN}\n{_table(pathlib.Path(folder))}\n{_END}{after}",
      encoding="utf-8",
    )


def _table(folder):
  lines, busy = [_HEAD], []
  for path in sorted(folder.glob("*.json")):
    if path.stem == "serving":
      continue
    results = json.loads(path.read_text(encoding="utf-8"))
    if results["machine"]["cores_busy_before"] > _QUIET:
      busy.append(results["name"])
    for row in results["comparisons"]:
      lines += _rows(results["name"], row)
  text = "\n".join(lines)
  if busy:
    text += (
      "\n\nProvisional, since others used the machine meanwhile: "
      f"{', '.join(busy)}."
    )
  return text


def _rows(benchmark, row):
  """Returns a line per peer; one without any where there is none."""
  name, _, of_name = row["name"].rpartition(" : ")
  speed = f"{row['ours']:.4g} {row['unit']}"
  share = row.get("sgemm_share")
  share = f"{share:.0%}" if share else ""
  if not row["ratio"]:
    return [f"| {benchmark} | {row['name']} | {speed} | | | {share} |"]
  peers = [(row.get("peer_name") or of_name, row["ratio"])]
  peers += [
    (one["name"].rpartition(" : ")[2], one["ratio"])
    for one in row.get("others", ())
  ]
  return [
    f"| {benchmark} | {name or row['name']} | {speed} | {peer} | "
    f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}) | "
    f"{share} |"
    for peer, ratio in peers
  ]


def _run(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Takes no arguments: {' '.join(argv[1:])}")
  update()
  print(f"Written: {_PAGE}")


if __name__ == "__main__":
  app.run(_run)
