"""Tests of programs that run as children: they end with their parent."""

import signal
import subprocess
import sys
from unittest import mock

import psutil
from absl.testing import parameterized

from trainers import children

_CHILD = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("begun", flush=True)
signal.pause()
"""
# Prints the child's process id once the child runs; BODY is the block's body.
_PARENT = """
import signal
from trainers import children, preemption
try:
  with preemption.raising():
    with children.running("-c", CHILD) as child:
      print(child.pid, flush=True)
      BODY
except (KeyboardInterrupt, preemption.Terminated, ValueError) as error:
  print(type(error).__name__, flush=True)
"""


class ChildrenTest(parameterized.TestCase):
  @parameterized.parameters(
    ("signal.pause()", signal.SIGTERM, "Terminated"),
    ("child.wait()", signal.SIGTERM, "Terminated"),
    ("child.wait()", signal.SIGINT, "KeyboardInterrupt"),
    ("raise ValueError", None, "ValueError"),
    ("print('over', flush=True)", None, "over"),
  )
  def test_a_child_ends_with_the_block(self, body, number, caught):
    code = _PARENT.replace("CHILD", repr(_CHILD)).replace("BODY", body)
    parent = subprocess.Popen(
      [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    )
    lines = []
    with parent:
      for line in parent.stdout:
        lines.append(line.strip())
        if number and len(lines) == 2:  # Both programs run.
          parent.send_signal(number)
    self.assertFalse(psutil.pid_exists(int(next(filter(str.isdigit, lines)))))
    self.assertIn(caught, lines)
    self.assertEqual(parent.returncode, 0)

  def test_a_child_may_end_by_itself(self):
    with children.running("-c", "raise SystemExit(3)") as child:
      self.assertEqual(child.wait(), 3)

  def test_a_second_exception_kills(self):
    with self.assertRaises(KeyboardInterrupt):
      with children.running("-c", "import signal; signal.pause()") as child:
        # As if it did not obey, and the user lost patience.
        child.terminate = mock.Mock()
        wait = child.wait
        child.wait = mock.Mock(side_effect=[KeyboardInterrupt, None])
        raise ValueError
    self.assertEqual(wait(), -signal.SIGKILL)
