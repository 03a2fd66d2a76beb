"""The hardware itself, in SystemVerilog (``sv/``), and what simulates it."""
