"""Commands that run the network: verify, fingerprint, calibrate."""
