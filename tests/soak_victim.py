"""A client that calls until it is killed; it loads no TensorFlow.

  python -m tests.soak_victim PORT REST_PORT ENDLESS QUICK

ENDLESS and QUICK are PredictRequests in hexadecimal.
"""

import json
import socket
import sys
import threading

import grpc

_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_BODY = json.dumps({"signature_name": "spin", "inputs": [[1.0, 1.0]]}).encode()


def _send(port, length):
  """Sends a request of which the body may be longer than what is sent."""
  connection = socket.create_connection(("localhost", port))
  connection.sendall(
    b"POST /v1/models/slow:predict HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (length, _BODY)
  )
  return connection


def _repeat(call, request):
  while True:
    try:
      call(request)
    except grpc.RpcError:  # Its server is being stopped, perhaps.
      return


def main():
  """Calls in every way at once, says so, and goes on."""
  port, rest_port = map(int, sys.argv[1:3])
  endless, quick = map(bytes.fromhex, sys.argv[3:5])
  call = grpc.insecure_channel(f"localhost:{port}").unary_unary(_PREDICT)
  call(quick)
  calls = [call.future(endless)]
  connections = [_send(rest_port, len(_BODY)), _send(rest_port, 10**6)]
  threading.Thread(target=_repeat, args=[call, quick], daemon=True).start()
  print("calling", flush=True)
  threading.Event().wait(3600.0)
  del calls, connections


if __name__ == "__main__":
  main()
