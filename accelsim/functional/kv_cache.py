"""Keys and values of all past positions, laid out so that attention runs along memory."""

from __future__ import annotations

import numpy as np

from accelsim.errors import UserError
from accelsim.functional.checkpoint_config import CheckpointConfig
from accelsim.functional.operators import PANEL, Floats, append_positions


class KVCache:
    """Room for ``capacity`` positions of ``batch`` rows that grow together.

    Attributes:
        keys: float32 [layers, batch, kv_heads, c / 64, head_dim * 64], panels over positions;
            c is the capacity rounded up to 64.
        values: float32 [layers, batch, kv_heads, head_dim / 64 rounded up, c * 64], panels over
            head_dim.
        batch: Rows.
        capacity: Positions there is room for.
        length: Positions held, the same for every row.
    """

    def __init__(self, config: CheckpointConfig, batch: int, capacity: int) -> None:
        if not 1 <= capacity <= config.max_positions:
            allowed = f"allowed: 1 to {config.max_positions}, the network's longest context"
            raise UserError("no number of positions", value=capacity, allowed=allowed)
        if batch < 1:
            raise UserError("no batch", value=batch, allowed="allowed: 1 or more rows")
        blocks, wide = -(-capacity // PANEL), -(-config.head_dim // PANEL)
        stack = (config.layers, batch, config.kv_heads)
        self.batch, self.capacity, self.length = batch, capacity, 0
        self.keys: Floats = np.zeros((*stack, blocks, config.head_dim * PANEL), np.float32)
        self.values: Floats = np.zeros((*stack, wide, blocks * PANEL * PANEL), np.float32)

    def append(self, layer: int, k: Floats, v: Floats) -> None:
        """Write keys and values behind the held positions of one layer; `advance` counts them.

        Args:
            layer: Which layer.
            k: float32 [batch * positions, kv_heads * head_dim], rotated.
            v: As k, not rotated.
        """
        append_positions(k, v, self.length, self.keys[layer], self.values[layer])

    def advance(self, positions: int) -> None:
        """Count positions that every layer has appended."""
        self.length += positions
