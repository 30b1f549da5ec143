"""One file for each form that weights and means have: reading, confine, kernel, layouts, canonical, layer_names, named, hdf5,
keras_hdf5, keras_weights, plain_hdf5, caffe, protobuf, pytorch, tensor_pickle, array_pickle, safetensors, tf_checkpoint, npz,
wrapped, mean.
"""
