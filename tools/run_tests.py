"""Runs the linter and then every Bazel test, and counts the test cases.

The last line is `N passed, N failed`; the exit status is 0 only if something
passed and nothing failed. Needs the standard library alone.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterable
from xml.etree import ElementTree

_LINT = (
  ["ruff", "check", "--quiet", "."],
  ["ruff", "format", "--quiet", "--check", "."],
)

# Bazel starts the tests that are named first, others in any order: a long test
# that starts last would run alone.
_LONGEST = [
  f"//tests:{area}"
  for area in (
    "exports",
    "models",
    "pipeline_dry_run",
    "faults",
    "control",
    "jobs",
    "served",
    "training",
    "generators",
    "samplers",
  )
]


def count_cases(xml: str) -> tuple[int, int]:
  """Returns the numbers of passed and of failed cases in a test.xml.

  Skipped cases are neither.
  """
  passed = failed = 0
  for case in ElementTree.fromstring(xml).iter("testcase"):
    if case.find("failure") is not None or case.find("error") is not None:
      failed += 1
    elif case.get("status") != "notrun" and case.find("skipped") is None:
      passed += 1
  return passed, failed


def count_events(events: Iterable[dict]) -> tuple[int, int]:
  """Returns the numbers of passed and of failed test cases in Bazel's events.

  A test that did not pass counts as at least one failure, whatever its report:
  it may have crashed, timed out or not been built.
  """
  targets, counts = set(), {}
  for event in events:
    kind, key = next(iter(event["id"].items()))
    label = key.get("label")
    if event.get("configured", {}).get("targetKind", "").endswith("_test rule"):
      targets.add(label)
    elif kind == "testResult":
      result = event["testResult"]
      passed, failed = _count_files(result.get("testActionOutput", ()))
      if result["status"] != "PASSED":
        failed = max(failed, 1)
      counts[label] = passed, failed
  counts.update((label, (0, 1)) for label in targets - counts.keys())
  return tuple(map(sum, zip((0, 0), *counts.values())))


def _count_files(outputs: Iterable[dict]) -> tuple[int, int]:
  for output in outputs:
    if output["name"] == "test.xml":
      url = urllib.parse.urlparse(output["uri"])
      path = pathlib.Path(urllib.request.url2pathname(url.path))
      try:
        return count_cases(path.read_text())
      except (OSError, ElementTree.ParseError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 0, 1
  return 0, 0


def lint(root: pathlib.Path) -> int:
  """Runs the linter and the formatter; returns how many of them failed."""
  failed = 0
  for command in _LINT:
    print("$", *command, flush=True)
    command = [root / ".venv/bin" / command[0], *command[1:]]
    failed += bool(subprocess.run(command, cwd=root).returncode)
  if failed:
    print("`make format` mends what can be mended.", file=sys.stderr)
  return failed


def main():
  root = pathlib.Path(__file__).resolve().parents[1]
  passed, failed = 0, lint(root)
  with tempfile.TemporaryDirectory() as folder:
    events = pathlib.Path(folder) / "events.json"
    command = ["bazel", "test", "--keep_going", *_LONGEST, "//tests/..."]
    print("$", *command, flush=True)
    status = subprocess.run(
      [*command, f"--build_event_json_file={events}"], cwd=root
    ).returncode
    lines = events.read_text().splitlines() if events.exists() else []
  tests_passed, tests_failed = count_events(map(json.loads, lines))
  if status and not tests_failed:
    tests_failed = 1
    print(f"bazel test ended with status {status}.", file=sys.stderr)
  passed += tests_passed
  failed += tests_failed
  sys.stderr.flush()
  print(f"{passed} passed, {failed} failed", flush=True)
  sys.exit(0 if passed and not failed else 1)


if __name__ == "__main__":
  main()
