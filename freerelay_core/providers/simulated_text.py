"""Prose of any length that owns up to being simulated: sentences that say what it is, then new ones of three parts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import cycle

__all__ = ["pieces_of", "sentences"]

_PIECE = re.compile(r"\s*\S+")


def pieces_of(text: str) -> list[str]:
    """The text token by token: a word with the space before it counts as one."""
    return _PIECE.findall(text) or [text]


_ABOUT = """\
No model was called and nobody was charged.
Its length is usual for a request of this kind.
Its pace and its failures follow what the catalogue says of the endpoint.
For real answers name the provider in FREERELAY_PROVIDERS and set the vendor's key.

The decision behind it is real all the same.
FreeRelay has read the request, told what kind of task it is and how hard, and ranked the endpoints that can serve it.
Quality, cost and speed count as your routing preference says.
The headers of this answer name the endpoint and the reason for it.
The decision on record holds every figure behind the ranking.

Your program can treat this text as any other answer.
It has the same shape, whole or streamed, with a reason for its end and a count of its tokens.
A tool is called with arguments that fit its schema.
JSON comes in the form that was asked for.
A limit on the tokens cuts a sentence off wherever it stands, as it does with a model.
A request that every vendor refuses is refused here, too.

The same holds for what goes wrong.
Now and then a simulated endpoint is overloaded or out of quota, about as often as the real one is expected to be.
Then the next in the ranking is asked, and the answer comes from there.
Where that has happened, a header says how many were asked.

What this text cannot do is answer your question.
Nothing in it comes from your messages, which FreeRelay has read and sent to nobody.
What follows is there for the length alone."""
"""A sentence a line; an empty line begins a paragraph."""

_WHEN = (
    "In a real answer,", "With a model behind it,", "At this point of an answer,", "For a request such as this,",
    "Somewhere about here,", "In the words of a model,", "After a sentence like the last,", "If this were real,",
    "As the answer went on,", "To make it clear,", "Without much ado,",
)  # fmt: skip
_WHAT = (
    "an example would follow", "the argument would take another step", "one side would be weighed against the other",
    "a term would be explained", "an exception would be named", "a conclusion would be drawn",
    "a figure would be worked out", "a doubt would be raised",
)  # fmt: skip
_HOW = (
    "in a few plain words.", "before the next point is made.", "with the reason beside it.",
    "so that nothing is left open.", "as far as the question asks for it.", "and the thread taken up again.",
    "at about this length.",
)  # fmt: skip
"""The three have lengths without a common divisor: no sentence comes again before all have been said."""
_PARAGRAPH = 5
"""Sentences of three parts in each."""


_SENTENCES = tuple(
    tuple(pieces_of((" " if line or not paragraph else "\n\n") + sentence))
    for paragraph, text in enumerate(_ABOUT.split("\n\n"))
    for line, sentence in enumerate(text.split("\n"))
)
_PARTS = tuple(tuple(tuple(pieces_of(f" {part}")) for part in parts) for parts in (_WHEN, _WHAT, _HOW))


def sentences(endpoint: str) -> Iterator[Sequence[str]]:
    """The sentences of an answer in place of `endpoint`, token by token, without end; the same ones each time."""
    yield pieces_of(f"This is a simulated answer in place of {endpoint}.")
    yield from _SENTENCES
    for number, (when, what, how) in enumerate(zip(*map(cycle, _PARTS), strict=True)):
        sentence = when + what + how
        yield sentence if number % _PARAGRAPH else (f"\n\n{sentence[0].lstrip()}", *sentence[1:])
