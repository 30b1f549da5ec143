"""Clips to outputs: batcher, fair_queue, double_buffer, build, network, keras_network, engines, openvino_network, winograd."""
