"""A file a form: layouts, canonical, layer_names, keras_hdf5, keras_weights, caffe, pytorch, tensor_pickle, npz, mean."""
