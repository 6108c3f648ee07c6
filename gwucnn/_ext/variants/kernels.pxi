# All kernels of one instruction set. The modules that include this file (baseline, x86_64_v3, x86_64_v4, armv8_a)
# differ only in the compiler flags set in setup.py.
#
# The arguments are checked in gwucnn.ops, whose error messages are for users, and again when a step is created
# (step.pyx). The loops check nothing.

from libc.stdint cimport int32_t, int64_t, uint8_t

from gwucnn._ext.step cimport Scratch, Step

cdef extern from "variants/kernels.h" nogil:
    enum: VECTOR_BYTES
    enum: TILE_PIXELS
    enum: LANES_F32
    enum: LANES_F64
    ctypedef struct Correlation:
        Py_ssize_t x_pixel, x_row, y_pixel, taps, run, w_step, w_skip
        const ptrdiff_t *tap
        int relu
    ctypedef struct Outer:
        Py_ssize_t images, rows, columns, x_image, x_row, x_pixel, dy_image, dy_row, dy_pixel, dw_step

# Number of lanes in a vector, by dtype character: some kernels need whole vectors of channels or filters.
LANES = {"f": LANES_F32, "d": LANES_F64}

ctypedef fused real_t:
    float
    double

include "../conv/spread.pxi"
include "../conv/correlate.pxi"
include "../conv/along_rows.pxi"
include "../conv/few_outputs.pxi"
include "../conv/across_images.pxi"
include "../conv/conv.pxi"
include "../conv/conv_input.pxi"
include "../conv/few_pixels.pxi"
include "../conv/conv_weight.pxi"
include "../conv/sum_rows.pxi"
include "../conv/few_weight.pxi"
include "../dense/few_rows.pxi"
include "../pool/pool.pxi"
include "../pool/average_pool.pxi"
include "../elementwise/rearrange.pxi"
include "../pool/conv_pool.pxi"
include "../pool/winner_weight.pxi"
include "../pool/masked_weight.pxi"
include "../pool/winner_input.pxi"
include "../winograd/winograd_tiles.pxi"
include "../winograd/winograd.pxi"
include "../winograd/winograd_input.pxi"
include "../winograd/winograd_weight.pxi"
include "../depthwise/lanewise.pxi"
include "../depthwise/depthwise.pxi"
include "../depthwise/depthwise_weight.pxi"
include "../elementwise/activation.pxi"
include "../elementwise/arrays.pxi"
include "../elementwise/combine.pxi"
include "../elementwise/random.pxi"
include "../elementwise/warp.pxi"
include "../elementwise/warp_matrices.pxi"
include "../norm/batch_norm.pxi"
include "../norm/batch_norm_backward.pxi"
include "../norm/batch_norm_running.pxi"
include "../norm/layer_norm.pxi"
include "../elementwise/loss.pxi"
include "../elementwise/update.pxi"
include "../elementwise/finite.pxi"
include "../elementwise/clip.pxi"
include "../elementwise/penalty.pxi"
