"""C3D on the CPU by Winograd convolution, in float32: network, layers and library in Python, above winograd.cpp.

The C++, from the outside in: winograd.cpp (a network and its C interface), first_convolution.h, convolution.h, dense.h (its layers),
layer.h and threads.h (what these share), tile.h and cook_toom.h (the algorithm), product.h and vectors.h (what the processor does).
"""
