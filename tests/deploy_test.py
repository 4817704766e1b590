"""Tests that the manifests in deploy/ match the programs they start."""

import importlib
import json
import pathlib
import re

import yaml
from absl import flags
from absl.testing import absltest

from serving.server import metrics
from serving.server import options
from trainers import preemption

_ROOT = pathlib.Path(__file__).parents[1]
# Programs that containers may start, by the first argument.
_PROGRAMS = ("serving.server", "trainers.vae")


def _documents():
  """Returns the name of each manifest's file, and its document."""
  return [
    (path.relative_to(_ROOT).as_posix(), document)
    for path in sorted(_ROOT.glob("deploy/*/*.yaml"))
    if path.name not in ("kustomization.yaml", "prometheus-adapter.yaml")
    for document in yaml.safe_load_all(path.read_text())
  ]


def _one(kind, folder):
  """Returns the manifest of a kind in a folder of deploy/."""
  (found,) = (
    document
    for name, document in _documents()
    if document["kind"] == kind and name.startswith(f"deploy/{folder}/")
  )
  return found


def _pods():
  return [
    (name, document["spec"]["template"]["spec"])
    for name, document in _documents()
    if document["kind"] in ("Deployment", "Job")
  ]


def _flags_of(container):
  """Returns a container's flags, parsed as its program does."""
  program, *arguments = container["args"]
  values = flags.FlagValues()
  if program == "serving.server":
    options.define_flags(values)
  else:
    importlib.import_module(program).define_flags(values)
    flags.DEFINE_string("flagfile", "", "", flag_values=values)
  return values, values([program, *arguments])


class DeployTest(absltest.TestCase):
  def test_programs_take_the_flags_that_they_are_given(self):
    self.assertLen(_pods(), 3)
    for name, pod in _pods():
      (container,) = pod["containers"]
      with self.subTest(name):
        self.assertIn(container["args"][0], _PROGRAMS)
        values, rest = _flags_of(container)
        self.assertLen(rest, 1)
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
        for flag in ("run_dir", "data_dir", "model_base_path"):
          if flag in values:
            path = pathlib.PurePath(values[flag].value)
            self.assertIn(path.parent.as_posix(), mounts)
        config = [a for a in container["args"] if a.startswith("--flagfile=")]
        for argument in config:
          self.assertTrue((_ROOT / argument.partition("=")[2]).is_file())

  def test_nothing_may_be_more_than_it_has_to(self):
    for name, pod in _pods():
      with self.subTest(name):
        self.assertIs(pod["automountServiceAccountToken"], False)
        self.assertIs(pod["securityContext"]["runAsNonRoot"], True)
        (container,) = pod["containers"]
        allowed = container["securityContext"]
        self.assertIs(allowed["allowPrivilegeEscalation"], False)
        self.assertIs(allowed["readOnlyRootFilesystem"], True)
        self.assertEqual(allowed["capabilities"], {"drop": ["ALL"]})
        self.assertContainsSubset(
          ["cpu", "memory"], container["resources"]["limits"]
        )

  def test_the_user_is_the_images(self):
    user = re.search(r"^USER (\d+):(\d+)$", self._dockerfile(), re.MULTILINE)
    for _, pod in _pods():
      context = pod["securityContext"]
      self.assertEqual(context["runAsUser"], int(user[1]))
      self.assertEqual(context["runAsGroup"], int(user[2]))

  def test_what_is_copied_into_the_image_is_there_and_not_ignored(self):
    kept = (_ROOT / ".dockerignore").read_text().splitlines()
    copied = set()
    for line in self._dockerfile().splitlines():
      if line.startswith("COPY ") and "--from" not in line:
        copied.update(line.split()[1:-1])
    self.assertContainsSubset(["lc_keras", "serving", "trainers"], copied)
    for name in copied:
      self.assertIn(f"!{name.split('/')[0]}", kept)
      self.assertTrue((_ROOT / name).exists(), name)

  def test_jobs_go_on_when_a_trainer_says_so(self):
    for folder in ("training", "workers"):
      rules = _one("Job", folder)["spec"]["podFailurePolicy"]["rules"]
      ignored = [
        code
        for rule in rules
        if rule["action"] == "Ignore" and "onExitCodes" in rule
        for code in rule["onExitCodes"]["values"]
      ]
      self.assertEqual(ignored, [preemption.RESUME_ME])

  def test_workers_know_each_other(self):
    job, service = _one("Job", "workers"), _one("Service", "workers")
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {one["name"]: one for one in container["env"]}
    # Kubernetes substitutes only variables that are defined before.
    self.assertEqual(list(environment), ["INDEX", "TF_CONFIG"])
    text = environment["TF_CONFIG"]["value"]
    host, port = (
      service["metadata"]["name"],
      service["spec"]["ports"][0]["port"],
    )
    self.assertEqual(pod["subdomain"], host)
    self.assertEqual(
      json.loads(text.replace("$(INDEX)", "1")),
      {
        "cluster": {
          "worker": [
            f"{job['metadata']['name']}-{index}.{host}:{port}"
            for index in range(spec["completions"])
          ]
        },
        "task": {"type": "worker", "index": 1},
      },
    )
    self.assertEqual(spec["parallelism"], spec["completions"])
    self.assertIs(service["spec"]["publishNotReadyAddresses"], True)
    self._assert_selects(service["spec"]["selector"], job)

  def test_calls_in_flight_have_time_to_finish(self):
    pod = _one("Deployment", "serving")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    values, _ = _flags_of(container)
    sleep, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    self.assertEqual(sleep, "sleep")
    self.assertGreater(
      pod["terminationGracePeriodSeconds"],
      float(seconds) + values.shutdown_grace_seconds,
    )

  def test_ports_and_paths_are_the_servers(self):
    deployment = _one("Deployment", "serving")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    values, _ = _flags_of(container)
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    self.assertEqual(ports, {"grpc": values.port, "http": values.rest_api_port})
    rest = (_ROOT / "serving/server/rest.py").read_text()
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
      asked = container[probe]["httpGet"]
      self.assertIn(asked["port"], ports)
      self.assertIn(f'"{asked["path"]}"', rest)
    monitoring = (_ROOT / "deploy/serving/monitoring.txt").read_text()
    scraped = deployment["spec"]["template"]["metadata"]["annotations"]
    self.assertEqual(scraped["prometheus.io/port"], str(ports["http"]))
    self.assertEqual(scraped["prometheus.io/path"], metrics.PATH)
    self.assertIn(f'"{metrics.PATH}"', monitoring)
    service = _one("Service", "serving")
    for port in service["spec"]["ports"]:
      self.assertEqual(port["port"], ports[port["targetPort"]])
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
      spec = _one(kind, "serving")["spec"]
      selector = spec.get("selector") or spec["podSelector"]
      self._assert_selects(selector["matchLabels"], deployment)
    self._assert_selects(service["spec"]["selector"], deployment)

  def test_what_it_scales_by_is_exported(self):
    text = (_ROOT / "deploy/serving/prometheus-adapter.yaml").read_text()
    (rule,) = yaml.safe_load(text)["rules"]["custom"]
    pods, _ = _one("HorizontalPodAutoscaler", "serving")["spec"]["metrics"]
    self.assertEqual(pods["pods"]["metric"]["name"], rule["name"]["as"])
    series = re.search(r'__name__="([^"]+)"', rule["seriesQuery"])[1]
    exported = metrics.Metrics(lambda name: True)
    exported.run("faces", 0.25)
    (line,) = (
      line
      for line in exported.text().decode().splitlines()
      if line.startswith(f"{series}{{")
    )
    # Microseconds, which the rule divides by a million.
    self.assertEqual(float(line.split()[-1]), 0.25e6)
    self.assertEndsWith(rule["metricsQuery"], "/ 1e6")

  def _dockerfile(self):
    return (_ROOT / "Dockerfile").read_text()

  def _assert_selects(self, labels, workload):
    self.assertContainsSubset(
      labels.items(),
      workload["spec"]["template"]["metadata"]["labels"].items(),
    )
