"""Tests of the counting in tools.run_tests."""

import pathlib

from absl.testing import absltest

from tools import run_tests

_XML = """<?xml version="1.0"?>
<testsuites><testsuite name="T" tests="5">
  <testcase name="a" status="run"></testcase>
  <testcase name="b" status="run"/>
  <testcase name="c" status="run"><failure message="x">y</failure></testcase>
  <testcase name="d" status="run"><error message="x"/></testcase>
  <testcase name="e" status="notrun" result="suppressed"></testcase>
</testsuite></testsuites>
"""
_GOOD = '<testsuite><testcase name="a" status="run"/></testsuite>'


class CountTest(absltest.TestCase):
  def _result(self, label: str, status: str, xml: str | None) -> dict:
    outputs = [{"name": "test.log", "uri": "file:///nowhere/test.log"}]
    if xml is not None:
      path = pathlib.Path(
        self.create_tempfile(f"{label}/a %20folder/test.xml", xml).full_path
      )
      outputs.append({"name": "test.xml", "uri": path.as_uri()})
    return {
      "id": {"testResult": {"label": label, "run": 1}},
      "testResult": {"status": status, "testActionOutput": outputs},
    }

  def _target(self, label: str, kind: str = "py_test rule") -> dict:
    return {
      "id": {"targetConfigured": {"label": label}},
      "configured": {"targetKind": kind},
    }

  def test_sums_over_tests(self):
    events = [
      {"id": {"pattern": {"pattern": ["//tests/..."]}}, "expanded": {}},
      self._target("a"),
      self._target("b"),
      self._result("a", "FAILED", _XML),
      self._result("b", "PASSED", _GOOD),
    ]
    self.assertEqual(run_tests.count_events(events), (3, 2))

  def test_a_crash_after_good_cases_is_a_failure(self):
    events = [self._target("a"), self._result("a", "TIMEOUT", _GOOD)]
    self.assertEqual(run_tests.count_events(events), (1, 1))

  def test_a_test_that_was_not_built_is_a_failure(self):
    events = [
      self._target("a"),
      self._target("lib", "py_library rule"),
      self._target("b"),
      self._result("b", "PASSED", _GOOD),
    ]
    self.assertEqual(run_tests.count_events(events), (1, 1))

  def test_a_lost_or_broken_report_is_a_failure(self):
    lost = self._result("a", "PASSED", _GOOD)
    lost["testResult"]["testActionOutput"][1]["uri"] = "file:///nowhere/t.xml"
    broken = self._result("b", "PASSED", _GOOD[:20])
    self.assertEqual(run_tests.count_events([lost, broken]), (0, 2))
