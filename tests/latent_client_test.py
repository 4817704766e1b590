"""Tests of the Python clients, against a fake server."""

import asyncio
import random
import threading
from concurrent import futures
from unittest import mock

import grpc
import numpy as np
from absl.testing import parameterized
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

import serving
from serving import latent_client
from serving import messages
from serving import tensors

_SIGNATURES = {
  "sample": ("attributes", "mask", "seed"),
  "sample_search": ("attributes", "mask", "seed", "realism_weight"),
  "decode": ("latents",),
}


class _Service(prediction_service_pb2_grpc.PredictionServiceServicer):
  """Doubles its first input; fails with the given codes, one for each call."""

  def __init__(self):
    self.signatures = _SIGNATURES
    self.failures = []
    self.rows = []
    self.tokens = set()
    self.cancelled = threading.Event()
    self.hangs = False

  def Predict(self, request, context):
    self.tokens.add(dict(context.invocation_metadata()).get("authorization"))
    if self.failures:
      context.abort(self.failures.pop(0), "as told")
    arrays = {
      name: tensors.to_array(proto) for name, proto in request.inputs.items()
    }
    first = next(iter(sorted(arrays)))
    # Before a test can see the call and cancel it.
    context.add_callback(self.cancelled.set)
    self.rows.append(len(arrays[first]))
    if self.hangs:
      self.cancelled.wait(60.0)
    response = predict_pb2.PredictResponse()
    outputs = {"doubled": 2 * arrays[first]}
    if "seed" in arrays:
      outputs["seed"] = arrays["seed"]
    for name, value in outputs.items():
      response.outputs[name].CopyFrom(tensors.to_proto(value))
    return response

  def GetModelMetadata(self, request, context):
    if not request.metadata_field:
      context.abort(grpc.StatusCode.INVALID_ARGUMENT, "nothing asked")
    found = get_model_metadata_pb2.SignatureDefMap()
    for name, inputs in self.signatures.items():
      signature = meta_graph_pb2.SignatureDef()
      for key in inputs:
        signature.inputs[key].tensor_shape.dim.add(size=-1)
      found.signature_def[name].CopyFrom(signature)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.metadata["signature_def"].Pack(found)
    return response


def _synchronously(address, ask, **options):
  with serving.LatentClient(address, **options) as client:
    return ask(client)


def _asynchronously(address, ask, **options):
  async def run():
    async with serving.AsyncLatentClient(address, **options) as client:
      return await ask(client)

  return asyncio.run(run())


_BOTH = parameterized.parameters(_synchronously, _asynchronously)


class LatentClientTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.service = _Service()
    server = grpc.server(futures.ThreadPoolExecutor(8))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
      self.service, server
    )
    self.address = f"localhost:{server.add_insecure_port('localhost:0')}"
    server.start()
    self.addCleanup(lambda: server.stop(None).wait())

  @_BOTH
  def test_many_rows_are_asked_for_in_parts_and_come_back_in_order(self, ask):
    latents = np.arange(30.0).reshape(15, 2)
    made = ask(self.address, lambda c: c.decode(latents), batch_size=4)
    np.testing.assert_array_equal(made["doubled"], 2 * latents)
    self.assertCountEqual(self.service.rows, [4, 4, 4, 3])

  @_BOTH
  def test_large_rows_are_sent_in_smaller_parts(self, ask):
    latents = np.zeros([15, 2])
    self.enter_context(mock.patch.object(messages, "_MOST_BYTES", 5 * 8))
    ask(self.address, lambda c: c.decode(latents))
    self.assertEqual(self.service.rows, [5, 5, 5])
    self.enter_context(mock.patch.object(messages, "_MOST_BYTES", 1))
    ask(self.address, lambda c: c.decode(latents[:1]))
    self.assertEqual(self.service.rows[3:], [1])

  @_BOTH
  def test_a_row_that_is_too_large(self, ask):
    with self.assertRaisesRegex(
      latent_client.RequestError,
      "larger than max .* vs. 4194304.*batch_size.* --grpc_max_message_mb",
    ):
      ask(self.address, lambda c: c.decode(np.zeros([1, 2 << 20])))

  @_BOTH
  def test_seeds_have_64_bits(self, ask):
    seeds = [2**62 + 1, -(2**63), 2**63 - 1]
    values = np.zeros([3, 2])
    made = ask(
      self.address, lambda c: c.sample(values, values, seeds), batch_size=2
    )
    self.assertEqual(made["seed"].tolist(), seeds)
    for bad in ([2**63], [0.5], [2**70]):
      with self.assertRaisesRegex(ValueError, "whole numbers from -2"):
        ask(self.address, lambda c, bad=bad: c.sample(values, values, bad))

  @_BOTH
  def test_unavailable_is_tried_again(self, ask):
    self.service.failures = [grpc.StatusCode.UNAVAILABLE] * 2
    made = ask(self.address, lambda c: c.decode(np.ones([1, 2])))
    np.testing.assert_array_equal(made["doubled"], [[2.0, 2.0]])

  @_BOTH
  def test_nothing_else_is_tried_again(self, ask):
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    self.service.failures = [code] * 2
    with self.assertRaisesRegex(
      latent_client.RequestError, f"{self.address}: RESOURCE_EXHAUSTED: as told"
    ) as caught:
      ask(self.address, lambda c: c.decode(np.ones([1, 2])))
    self.assertEqual(caught.exception.code, code)
    self.assertLen(self.service.failures, 1)

  @_BOTH
  def test_trying_again_ends_with_the_time(self, ask):
    self.service.failures = [grpc.StatusCode.UNAVAILABLE] * 10
    # The third pause would be longer than the remaining time.
    with (
      mock.patch.object(random, "uniform", side_effect=[1.0, 1.0, 1.0, 1e6]),
      self.assertRaisesRegex(latent_client.RequestError, "UNAVAILABLE"),
    ):
      ask(self.address, lambda c: c.decode(np.ones([1, 2])))
    self.assertLen(self.service.failures, 7)

  @_BOTH
  def test_a_token_goes_with_every_call(self, ask):
    ask(self.address, lambda c: c.decode(np.ones([9, 2])), token="secret")
    self.assertEqual(self.service.tokens, {"Bearer secret"})

  @_BOTH
  def test_what_the_model_cannot_do_is_said(self, ask):
    nothing = np.zeros([1, 2])
    with self.assertRaisesRegex(
      latent_client.RequestError, "cannot sample by 'magic', only by actor"
    ):
      ask(
        self.address, lambda c: c.sample(nothing, nothing, [0], sampler="magic")
      )

  @_BOTH
  def test_a_model_of_others_is_named(self, ask):
    self.service.signatures = {"serving_default": ("x",)}
    with self.assertRaisesRegex(
      latent_client.RequestError,
      "has no signature 'describe', but serving_default. The client asks what",
    ):
      ask(self.address, lambda c: c.describe([0]))

  def test_another_model_is_noticed_by_who_forgets_the_one_before(self):
    with serving.LatentClient(self.address) as client:
      self.assertEmpty(client.samplers("transform"))
      self.service.signatures = {
        "transform": ("images",),
        "encode": ("images",),
        "transform_latents": ("latents",),
      }
      self.assertEmpty(client.samplers("transform"))
      self.assertFalse(client.moves_latents())
      client.forget()
      self.assertEqual(client.samplers("transform"), ["actor"])
      self.assertTrue(client.moves_latents())

  @_BOTH
  def test_no_server(self, ask):
    with self.assertRaisesRegex(latent_client.RequestError, "No server at"):
      ask("localhost:1", lambda c: c.decode(np.ones([1, 2])), timeout=0.3)

  def test_a_coroutine_that_is_cancelled_cancels_its_call(self):
    self.service.hangs = True

    async def ask(client):
      task = asyncio.create_task(client.decode(np.ones([1, 2])))
      while not self.service.rows:
        await asyncio.sleep(0.01)
      task.cancel()
      with self.assertRaises(asyncio.CancelledError):
        await task

    _asynchronously(self.address, ask)
    self.assertTrue(self.service.cancelled.wait(60.0))

  def test_both_clients_have_the_same_methods(self):
    methods = [
      {name for name in dir(kind) if not name.startswith("_")}
      for kind in (serving.LatentClient, serving.AsyncLatentClient)
    ]
    self.assertEqual(*methods)
    self.assertIn("attributes", serving.LatentClient.sample.__doc__)
    with self.assertRaises(AttributeError):
      _ = serving.OtherClient
