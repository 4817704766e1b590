"""What calls may be answered with as time goes by, and what they were."""

import collections
import threading

# A model that is not there, and a server that is not: no version has them.
ABSENT = "absent"
DOWN = "down"
_MOST_EXAMPLES = 20


class Truth:
  """What may answer, now and since then.

  Who changes what a server has to serve says `may_be` what is before and after,
  makes the change, waits until it has come about, and says what is left. A call
  may be answered by all that was possible between its beginning and its end.
  """

  def __init__(self, *versions):
    self._states = [frozenset(versions)]

  def may_be(self, *versions) -> None:
    """Notes what is possible from now on."""
    self._states.append(frozenset(versions))

  def begin(self) -> int:
    """Returns what `since` takes, of a call that begins."""
    return len(self._states) - 1

  def since(self, begin: int) -> frozenset:
    """Returns all that was possible since then."""
    return frozenset().union(*self._states[begin:])


class Counts:
  """Counts calls by kind and outcome, and keeps examples of what is wrong."""

  def __init__(self):
    self._lock = threading.Lock()
    self._right = collections.Counter()
    self._expected = collections.Counter()
    self._bad = {
      "wrong": collections.Counter(),
      "failed": collections.Counter(),
    }
    self.examples = []

  def right(self, kind: str) -> None:
    """Notes the right answer."""
    with self._lock:
      self._right[kind] += 1

  def expected(self, kind: str, why: str) -> None:
    """Notes a failure that has to be, or may be."""
    with self._lock:
      self._expected[kind, why] += 1

  def wrong(self, kind: str, what) -> None:
    """Notes an answer that is not right."""
    self._note("wrong", kind, what)

  def failed(self, kind: str, what) -> None:
    """Notes a failure of what should have succeeded."""
    self._note("failed", kind, what)

  def total(self, outcome: str | None = None) -> int:
    """Returns how many there were, of an outcome or of all."""
    with self._lock:
      counters = {"right": self._right, "expected": self._expected} | self._bad
      if outcome is not None:
        counters = {outcome: counters[outcome]}
      return sum(sum(counter.values()) for counter in counters.values())

  def table(self) -> str:
    """Returns all of it as text, one kind a line."""
    with self._lock:
      expected = collections.defaultdict(list)
      for (kind, why), number in sorted(self._expected.items()):
        expected[kind].append(f"{why} {number}")
      kinds = sorted(
        {*self._right, *expected, *self._bad["wrong"], *self._bad["failed"]}
      )
      lines = [f"{'':24}{'right':>8}{'wrong':>7}{'failed':>8}  as expected"]
      for kind in kinds:
        wrong, failed = (self._bad[key][kind] for key in ("wrong", "failed"))
        lines.append(
          f"{kind:24}{self._right[kind]:8}{wrong:7}{failed:8}  "
          f"{', '.join(expected[kind])}".rstrip()
        )
    return "\n".join(lines)

  def _note(self, outcome, kind, what):
    with self._lock:
      self._bad[outcome][kind] += 1
      if len(self.examples) < _MOST_EXAMPLES:
        self.examples.append(f"{outcome}: {kind}: {what}")
