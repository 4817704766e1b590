"""The language in which constraints are written.

  Smiling, Eyeglasses, not Male
  Smiling and (Black_Hair or blond hair), 2 * not Male
  Age = 0.7, 0.5 * realism

A request lists expressions, separated by commas, all of which must hold. Within
one, `not` and weights bind most tightly, then `and`, then `or`; parentheses
contain another list. Names and words may be written in any case, and names with
blanks for underscores. An attribute, a group in parentheses and `realism` may
have a weight, 1 by default. Realism is always requested, and may only be an
item of the outermost list.
"""

import functools
import re

import lark

from lc_keras.constraints import attributes as attribute_names
from lc_keras.constraints import expressions

_LETTER = r"[\w.'\/-]"
_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_WORD = rf"(?:and|or|not)(?!{_LETTER})"
# Known names are tried first, the longest before others, and may contain words
# of the language, digits, blanks. Any other name is misspelt, and
# `Attributes.index` suggests the nearest.
_GRAMMAR = rf"""
request: _item ("," _item)* ","?
_item: realism | either
realism: WEIGHT? _REALISM

?group: either ("," either)* ","?
?either: both (_OR both)*
?both: one (_AND one)*
?one: _NOT one -> opposite
  | WEIGHT one -> weighted
  | "(" group ")"
  | has
has: (NAME | OTHER) VALUE?

WEIGHT.4: /{_NUMBER}\s*\*/i
VALUE.4: /=\s*{_NUMBER}/i
NAME.3: /(?:%s)(?!{_LETTER})(?!\s+(?!{_WORD}){_LETTER})/i
_AND.2: /and(?!{_LETTER})/i
_OR.2: /or(?!{_LETTER})/i
_NOT.2: /not(?!{_LETTER})/i
_REALISM.2: /realism(?!{_LETTER})/i
OTHER.1: /{_LETTER}+(?:\s+(?!{_WORD}){_LETTER}+)*/i
%%ignore /\s+/
"""


def read(
  text: str, attributes: attribute_names.Attributes
) -> tuple[expressions.Expression, float]:
  """Returns the expression of "Smiling, not Male", and the weight of realism.

  Names are not looked up: see `check`.

  Args:
    text: The request. "realism" alone leaves all attributes open.
    attributes: The attributes that it can name.

  Raises:
    ValueError: The text cannot be parsed; the message shows where.
  """
  try:
    return _parser(attributes.names).parse(text)
  except lark.UnexpectedInput as error:
    where = f"cannot be read here:\n{_pointed(text, error)}\n"
    raise ValueError(
      f"This request {where if text.strip() else 'is empty. '}"
      f'Write, for example, "{", not ".join(attributes.names[:2])}".'
    ) from error


def check(text: str, attributes: attribute_names.Attributes) -> None:
  """Raises ValueError for a text that is no request, as `requests.parse` does.

  >>> from lc_keras.constraints import attributes
  >>> check("Smilng, not Male", attributes.Attributes(["Smiling", "Male"]))
  Traceback (most recent call last):
  ValueError: Unknown attribute 'Smilng': did you mean Smiling?
  """
  expression, realism_weight = read(text, attributes)
  expressions.check_realism(realism_weight)
  expressions.alternatives(expression, attributes)


@functools.lru_cache
def _parser(names):
  longest_first = sorted(names, key=len, reverse=True)
  known = "|".join(_pattern(name) for name in longest_first)
  return lark.Lark(
    _GRAMMAR % known,
    parser="lalr",
    lexer="basic",
    start="request",
    transformer=_Builder(),
  )


def _pattern(name):
  """Returns the pattern of a name; blanks and _ match each other."""
  words = re.split(r"[\s_]+", name)
  # lark ends a pattern at a slash.
  return r"[\s_]+".join(re.escape(word).replace("/", r"\/") for word in words)


def _pointed(text, error):
  """Returns the text with a caret under the error."""
  position = error.pos_in_stream
  if isinstance(error, lark.UnexpectedToken) and error.token.type == "$END":
    position = len(text)
  line = re.sub(r"\s", " ", text)
  return f"  {line}\n  {' ' * position}^"


class _Builder(lark.Transformer):
  """Builds an expression from the matches of the grammar's rules."""

  def request(self, items):
    parts = [item for item in items if isinstance(item, expressions.Expression)]
    weights = [item for item in items if isinstance(item, float)]
    if len(weights) > 1:
      raise ValueError("realism stands more than once in the request.")
    return expressions.And(tuple(parts)), *(weights or [1.0])

  def realism(self, weight):
    return weight[0] if weight else 1.0

  def group(self, parts):
    return expressions.And(tuple(parts))

  def both(self, parts):
    return expressions.And(tuple(parts))

  def either(self, parts):
    return expressions.Or(tuple(parts))

  def opposite(self, parts):
    return ~parts[0]

  def weighted(self, parts):
    weight, expression = parts
    return weight * expression

  def has(self, parts):
    name, *value = parts
    return expressions.Has(str(name), *value)

  def WEIGHT(self, token):
    return float(token.removesuffix("*"))

  def VALUE(self, token):
    return float(token.removeprefix("="))
