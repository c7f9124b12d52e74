"""Models of audio programs: RTNeural, GuitarML and Neural Amp Modeler."""
