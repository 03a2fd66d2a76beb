"""Trace x hardware -> mapping -> cycles -> counts -> energy and area."""
