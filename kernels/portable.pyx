# The kernels, compiled for one instruction set: setup.py gives this module its -march.
include "native.pxi"
