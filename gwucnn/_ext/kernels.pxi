# All kernels of one instruction set. The three modules that include this file differ only in the compiler flags that
# setup.py gives them.
#
# Preconditions are checked when a step is made (step.pyx) and, with better words, in gwucnn.ops: loops check nothing.

from libc.stdint cimport int32_t, uint8_t

from gwucnn._ext.step cimport Step

cdef extern from "tiles.h" nogil:
    enum: VECTOR_BYTES
    enum: TILE_PIXELS
    enum: LANES_F32
    enum: LANES_F64
    ctypedef struct Correlation:
        Py_ssize_t x_pixel, y_pixel, taps, run, w_step
        const ptrdiff_t *tap
    ctypedef struct Outer:
        Py_ssize_t rows, columns, x_row, x_pixel, dy_row, dy_pixel, dw_step
    void correlate_tile_f32(int m, const Correlation *c, const float *x, const float *w, const float *bias, float *y,
                            Py_ssize_t lanes)
    void correlate_tile_f64(int m, const Correlation *c, const double *x, const double *w, const double *bias,
                            double *y, Py_ssize_t lanes)
    void outer_tile_f32(int m, const Outer *o, const float *x, const ptrdiff_t *value, const float *dy, float *dw,
                        Py_ssize_t lanes)
    void outer_tile_f64(int m, const Outer *o, const double *x, const ptrdiff_t *value, const double *dy, double *dw,
                        Py_ssize_t lanes)
    void scattered_outer_tile_f32(int m, const Outer *o, const float *x, const ptrdiff_t *value, const float *dy,
                                  float *dw, Py_ssize_t lanes)
    void scattered_outer_tile_f64(int m, const Outer *o, const double *x, const ptrdiff_t *value, const double *dy,
                                  double *dw, Py_ssize_t lanes)

ctypedef fused real_t:
    float
    double

include "correlate.pxi"
include "conv.pxi"
include "conv_weight.pxi"
include "few_rows.pxi"
include "pool.pxi"
include "activation.pxi"
include "loss.pxi"
include "update.pxi"
