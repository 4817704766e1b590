import json
import pathlib

from absl.testing import absltest
from absl.testing import parameterized

from lc_keras.constraints import attributes
from trainers import contenders
from trainers import runs

_LATENT = ("vae", "latents", "classifier", "attributes")


class ContendersTest(parameterized.TestCase):
  def _find(self, *stages, unfinished=()):
    """Returns the contenders of a run of which only these stages are done."""
    folder = pathlib.Path(self.create_tempdir())
    for stage in (*stages, *unfinished):
      (folder / stage).mkdir()
    for stage in stages:
      (folder / stage / "done.json").write_text(json.dumps({"seconds": 1.0}))
    run = runs.Run(
      str(folder),
      "toon_faces/tiny",
      "data",
      (8, 16, 1),
      attributes.Attributes(["Bald", "Male"]),
    )
    return {found.name: found for found in contenders.find(run)}

  def test_finds_what_is_finished(self):
    found = self._find(
      *_LATENT, "actor_0.1", "flow", unfinished=("linear", "actor_0")
    )
    self.assertEqual(
      list(found),
      [
        "prior",
        "actor_0.1",
        "gradient_search",
        "gradient_search_published",
        "energy_ode",
        "energy_langevin",
        "best_of_n",
        "flow",
      ],
    )

  def test_published_actors_come_first_then_ablations(self):
    found = self._find(
      *_LATENT, "actor_10", "actor_no_penalty", "actor_0", "actor_0.5"
    )
    titles = [one.title for one in found.values()][1:5]
    self.assertEqual(
      titles,
      [
        "Actor, lambda 0",
        "Actor, lambda 0.5",
        "Actor, lambda 10",
        "Actor, no penalty",
      ],
    )
    # The actor whose critic judges: 0.1 if there, else the first.
    self.assertIn("actor_0", found["gradient_search"].stages)

  @parameterized.parameters("gan", "generator")
  def test_any_generative_model_will_do(self, stage):
    found = self._find(stage, *_LATENT[1:], "actor_0.1", "flow")
    self.assertEqual(found["prior"].stages, (stage,))
    self.assertIn(stage, found["actor_0.1"].stages)
    self.assertEqual(found["flow"].labelled_stages(), ["attributes", "flow"])

  def test_baselines_need_no_latents(self):
    found = self._find("conditional_vae", "conditional_gan", "linear")
    self.assertEqual(list(found), ["conditional_vae", "conditional_gan"])

  def test_samplers_need_a_judge(self):
    self.assertEqual(list(self._find(*_LATENT, "flow", "linear")), ["prior"])

  @parameterized.parameters(
    ("prior", []),
    ("actor_0.1", ["attributes", "actor_0.1"]),
    ("gradient_search", ["attributes", "actor_0.1"]),
    ("importance", ["attributes"]),
    ("flow", ["attributes", "flow"]),
    ("conditional_gan", ["conditional_gan"]),
  )
  def test_what_one_more_attribute_takes(self, name, stages):
    found = self._find(
      *_LATENT, "actor_0.1", "realism", "flow", "conditional_gan"
    )
    self.assertEqual(found[name].labelled_stages(), stages)

  def test_a_dial_stands_at_the_samplers_default(self):
    found = self._find(*_LATENT, "actor_0.1", "flow", "linear")
    for name in ("actor_0.1", "flow", "linear"):
      dial = found[name].dial
      self.assertEqual(dial.variable.numpy(), dial.default)
      self.assertGreater(len(set(dial.settings)), 2)
    self.assertEqual(found["actor_0.1"].dial.default, 1.0)
    self.assertIsNone(found["gradient_search"].dial)


if __name__ == "__main__":
  absltest.main()
