"""Keys and values of all past positions, laid out so that attention runs along memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
        self._head_dim = config.head_dim
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

    def held(self, layer: int, end: int) -> tuple[Floats, Floats]:
        """Return copies of a layer's keys and values [batch, kv_heads, end, head_dim]."""
        keys, values = self._views(layer)
        batch, heads, blocks, d, _ = keys.shape
        k = keys.transpose(0, 1, 2, 4, 3).reshape(batch, heads, blocks * PANEL, d)[:, :, :end]
        v = values.transpose(0, 1, 3, 2, 4).reshape(batch, heads, blocks * PANEL, -1)
        return np.ascontiguousarray(k), np.ascontiguousarray(v[:, :, :end, :d])

    def _views(self, layer: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return [batch, heads, c / 64, d, 64] and [batch, heads, d / 64, c, 64] of a layer."""
        keys, values = self.keys[layer], self.values[layer]
        return (
            keys.reshape(*keys.shape[:3], self._head_dim, PANEL),
            values.reshape(*values.shape[:3], -1, PANEL),
        )
