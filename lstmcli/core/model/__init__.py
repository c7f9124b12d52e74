"""Conventions, settings, cells, models, inputs, traces, activations and states."""
