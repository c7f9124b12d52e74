"""What there is: conventions, settings, cells, models, traces, activations and states."""
