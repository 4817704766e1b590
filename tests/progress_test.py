"""Tests of the progress of learning, as a terminal shows it."""

import contextlib
import io

from absl.testing import absltest

from lc_keras import progress


class ProgressTest(absltest.TestCase):
  def test_bars_take_turns_on_one_line_and_leave_none(self):
    shows = progress.Progress(verbose=True)
    with contextlib.redirect_stderr(io.StringIO()) as said:
      images, steps = (shows.bar(2, unit) for unit in (" images", " steps"))
      for bar in (images, steps, images, steps):
        bar.update()
        bar.refresh()
      for bar in (images, steps):
        bar.close()
    said = said.getvalue()
    self.assertIn("2/2", said)
    self.assertNotIn("\n", said)
    self.assertNotIn("\x1b", said)  # Moves to another line.
    self.assertEqual(said.rstrip("\r").rpartition("\r")[2].strip(), "")
