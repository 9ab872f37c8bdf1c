"""FreeRelay: an LLM router whose routing its tenants can choose, see and predict.

The code that ranks a live request is the code that simulates, explains and replays it. Start reading at
`freerelay_core.scoring` (the formula), then `freerelay_core.decision` (where policy, factors and scoring meet).
"""

__version__ = "0.1.0"
