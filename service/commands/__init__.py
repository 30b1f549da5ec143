"""Commands that run the network: command_line, verify, fingerprint, calibrate, sample. engine: the stages for other programs."""
