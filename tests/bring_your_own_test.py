"""Runs docs/bring_your_own.md, from top to bottom."""

import base64
import contextlib
import os
import pathlib
import re
import shlex

from absl.testing import absltest

from tests import programs
from tests import torch_stand_in
from trainers import encoder
from trainers import import_generator

# By verb: the job, and its message.
_JOBS = {
  "import": (import_generator, "numbers a latent vector"),
  "encoder": (encoder, "are encoded at"),
}
_PAGE = pathlib.Path(__file__).parents[1] / "docs" / "bring_your_own.md"
# z [rows, 4] to 1 / (1 + exp(-z)), repeated to [rows, 1, 8, 8].
ONNX = base64.b64decode(
  "CAk6uQEKDwoBegoBchIBdCIEVGlsZQoPCgF0EgFzIgdTaWdtb2lkChIKAXMKAXESAXgiB1"
  "Jlc2hhcGUSAWcqGQgCEAdCAXJKEAEAAAAAAAAAEAAAAAAAAAAqKQgEEAdCAXFKIP//////"
  "////AQAAAAAAAAAIAAAAAAAAAAgAAAAAAAAAWhcKAXoSEgoQCAESDAoGEgRyb3dzCgIIBG"
  "IfCgF4EhoKGAgBEhQKBhIEcm93cwoCCAEKAggICgIICEIECgAQEQ=="
)


class BringYourOwnTest(absltest.TestCase):
  def test_the_page_runs(self):
    self.enter_context(contextlib.chdir(self.create_tempdir().full_path))
    pathlib.Path("decoder.onnx").write_bytes(ONNX)
    names, kinds, ran = {}, {}, 0
    for section in _PAGE.read_text().split("\n## ")[1:]:
      title = section.partition("\n")[0]
      blocks = re.findall(r"```(python|console)\n(.*?)```", section, re.S)
      for language, block in blocks:
        torch = title == "PyTorch"
        with (
          self.subTest(title, block=block),
          torch_stand_in.installed() if torch else contextlib.nullcontext(),
        ):
          ran += 1
          if language == "python":
            exec(compile(block, title, "exec"), names)
            kinds[title] = names["generator"]
          else:
            for line in block.replace("\\\n", " ").strip().splitlines():
              command, verb, *arguments = shlex.split(line)
              self.assertEqual(command, "lc-keras")
              job, expected = _JOBS[verb]
              self.assertIn(expected, programs.run(job, *arguments))
    self.assertGreater(ran, 12)
    self.assertLen(os.listdir("runs"), 8)
    with self.subTest("what needs other people's packages is but compiled"):
      blocks = re.findall(r"```py\n(.*?)```", _PAGE.read_text(), re.S)
      for block in blocks:
        compile(block, "py", "exec")
    with self.subTest("what the table says of each kind"):
      outside = {"PyTorch", "ONNX", "Functions of arrays"}
      outside |= {"Labels without images", "The same person"}
      outside |= {"Images for a generator without an encoder"}
      outside |= {"Curves, and other arrays"}
      for title, made in kinds.items():
        self.assertEqual(made.exportable, title not in outside, title)
        self.assertEqual(made.differentiable, title not in outside, title)
    with self.subTest("what runs outside of TensorFlow is not exported"):
      control = names["control"]
      self.assertFalse(control.generator.exportable)
      with self.assertRaisesRegex(ValueError, "runs outside of TensorFlow"):
        control.export("export/1")
