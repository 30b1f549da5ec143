"""Commands that run the network: command_line, verify, fingerprint, calibrate, sample; and engine, the stages for other programs."""
