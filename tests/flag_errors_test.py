"""Tests of the messages for flags that cannot be read."""

from unittest import mock

from absl import flags
from absl.testing import parameterized

from trainers import flag_errors


class ParseTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    values = flags.FlagValues()
    flags.DEFINE_integer("steps", 3, "Steps.", 1, flag_values=values)
    flags.DEFINE_string(
      "out", None, "File to write.", required=True, flag_values=values
    )
    self.enter_context(mock.patch.object(flags, "FLAGS", values))
    self.values = values

  def test_returns_what_is_no_flag(self):
    parsed = flag_errors.parse(["job", "--steps=5", "--out=a", "more"])
    self.assertEqual(parsed, ["job", "more"])
    self.assertEqual(self.values.steps, 5)

  @parameterized.parameters(
    ("--step=5", "There is no flag --step; did you mean steps?"),
    ("--zzzz=5", "There is no flag --zzzz."),
    ("--steps=0", "flag --steps=0: .*integer"),
    ("--steps=many", "flag --steps=many: "),
    ("--steps=5", "The flag --out is required. File to write."),
  )
  def test_says_in_a_sentence_what_cannot_be_read(self, argument, text):
    with self.assertRaisesRegex(
      SystemExit, f"^Error: {text}.* --help lists the flags.$"
    ):
      flag_errors.parse(["job", argument])


if __name__ == "__main__":
  parameterized.absltest.main()
