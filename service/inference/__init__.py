"""Clips become the network's outputs: batcher, fair_queue, double_buffer, build, keras_network, engines, openvino_network."""
