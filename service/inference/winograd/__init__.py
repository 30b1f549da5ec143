"""C3D on the CPU by Winograd convolution, in float32: network, layers and library in Python, above winograd.cpp.

The C++, from the outside in: winograd.cpp (a network and its C interface); first_convolution.h, convolution.h, dense.h (its
layers); layer.h, threads.h (what these share); tile.h, cook_toom.h (the algorithm); product.h, vectors.h (the inner loop).
"""
