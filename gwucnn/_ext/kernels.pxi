# All kernels of one instruction set. The three modules that include this file differ only in the compiler flags that
# setup.py gives them.
#
# Preconditions are checked when a step is made (step.pyx) and, with better words, in gwucnn.ops: loops check nothing.

from libc.stdint cimport int32_t, int64_t, uint8_t

from gwucnn._ext.step cimport Scratch, Step

cdef extern from "tiles.h" nogil:
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
    void correlate_tile_f32(int m, const Correlation *c, const float *x, const float *w, const float *bias, float *y,
                            Py_ssize_t lanes)
    void correlate_tile_f64(int m, const Correlation *c, const double *x, const double *w, const double *bias,
                            double *y, Py_ssize_t lanes)
    void correlate_tile_ahead_f32(int m, const Correlation *c, const float *x, const float *w, const float *bias,
                                  float *y, Py_ssize_t lanes, Py_ssize_t ahead)
    void outer_tile_f32(int m, const Outer *o, const float *x, const ptrdiff_t *value, const float *dy, float *dw,
                        Py_ssize_t lanes, bint fresh)
    void correlate_tile_ahead_f64(int m, const Correlation *c, const double *x, const double *w, const double *bias,
                                  double *y, Py_ssize_t lanes, Py_ssize_t ahead)
    void outer_tile_f64(int m, const Outer *o, const double *x, const ptrdiff_t *value, const double *dy, double *dw,
                        Py_ssize_t lanes, bint fresh)
    void scattered_outer_tile_f32(int m, const Outer *o, const float *x, const ptrdiff_t *value, const float *dy,
                                  float *dw, Py_ssize_t lanes, bint fresh)
    void scattered_outer_tile_f64(int m, const Outer *o, const double *x, const ptrdiff_t *value, const double *dy,
                                  double *dw, Py_ssize_t lanes, bint fresh)
    void dot_row_f32(int outputs, Py_ssize_t columns, const Correlation *c, const float *x, const float *w,
                     const float *bias, float *y)
    void dot_row_f64(int outputs, Py_ssize_t columns, const Correlation *c, const double *x, const double *w,
                     const double *bias, double *y)
    void spread_rows_f32(Py_ssize_t rows, const Correlation *c, const ptrdiff_t *at, const float *x,
                         const float *const *w, float *y, Py_ssize_t y_row)
    void spread_rows_f64(Py_ssize_t rows, const Correlation *c, const ptrdiff_t *at, const double *x,
                         const double *const *w, double *y, Py_ssize_t y_row)
    void spread_outer_f32(Py_ssize_t taps, const Outer *o, const float *x, const ptrdiff_t *tap, const float *dy,
                          float *sums, Py_ssize_t lanes)
    void spread_outer_f64(Py_ssize_t taps, const Outer *o, const double *x, const ptrdiff_t *tap, const double *dy,
                          double *sums, Py_ssize_t lanes)
    void repeat_f32(const float *x, Py_ssize_t step, Py_ssize_t count, Py_ssize_t times, float *to)
    void repeat_f64(const double *x, Py_ssize_t step, Py_ssize_t count, Py_ssize_t times, double *to)
    void pool_few_f32(const float *full, Py_ssize_t row, Py_ssize_t F, Py_ssize_t outputs, Py_ssize_t columns,
                      bint relu, float *y, uint8_t *winner)
    void pool_few_f64(const double *full, Py_ssize_t row, Py_ssize_t F, Py_ssize_t outputs, Py_ssize_t columns,
                      bint relu, double *y, uint8_t *winner)
    enum: RUN_PIXELS
    enum: RUN_OUTPUTS
    void along_run_f32(int m, const Correlation *c, const ptrdiff_t *w_tap, const float *x, const float *w,
                       Py_ssize_t ahead, float *y)
    void along_run_f64(int m, const Correlation *c, const ptrdiff_t *w_tap, const double *x, const double *w,
                       Py_ssize_t ahead, double *y)
    void add_rows_f32(int m, int vectors, Py_ssize_t rows, const float *x, const float *w, Py_ssize_t w_step,
                      const float *next, const ptrdiff_t *at, float *y)
    void add_rows_f64(int m, int vectors, Py_ssize_t rows, const double *x, const double *w, Py_ssize_t w_step,
                      const double *next, const ptrdiff_t *at, double *y)
    enum: TILE_POOLED
    enum: WINNER_VECTORS
    void pooled_tile_f32(int m, const Correlation *c, const float *x, const float *w, const float *bias, float *y,
                         uint8_t *winner, bint relu, Py_ssize_t lanes)
    void pooled_tile_f64(int m, const Correlation *c, const double *x, const double *w, const double *bias,
                         double *y, uint8_t *winner, bint relu, Py_ssize_t lanes)
    Py_ssize_t list_filters_f32(Py_ssize_t filters, const float *dy, const uint8_t *winner, int *counts, int *lists,
                                float *g)
    void list_windows_f32(const Outer *o, Py_ssize_t filters, const float *dy, const uint8_t *winner, Py_ssize_t pitch,
                          int *counts, int *places, float *g)
    float sum_list_f32(Py_ssize_t count, const float *g)
    void winner_weight_tile_f32(int vectors, Py_ssize_t count, const int *at, const float *g, const float *x,
                                Py_ssize_t x_row, Py_ssize_t x_pixel, float *dw)
    Py_ssize_t list_filters_f64(Py_ssize_t filters, const double *dy, const uint8_t *winner, int *counts, int *lists,
                                double *g)
    void list_windows_f64(const Outer *o, Py_ssize_t filters, const double *dy, const uint8_t *winner, Py_ssize_t pitch,
                          int *counts, int *places, double *g)
    double sum_list_f64(Py_ssize_t count, const double *g)
    void winner_weight_tile_f64(int vectors, Py_ssize_t count, const int *at, const double *g, const double *x,
                                Py_ssize_t x_row, Py_ssize_t x_pixel, double *dw)
    void winner_input_pixel_f32(Py_ssize_t count, const int *filter, const float *g, const float *w, float *dx,
                                Py_ssize_t x_row, Py_ssize_t x_pixel)
    Py_ssize_t winner_input_row_f32(Py_ssize_t windows, const int *counts, const int *filter, const float *g,
                                    const float *w, float *dx, Py_ssize_t x_row, Py_ssize_t x_pixel)
    void winner_input_pixel_f64(Py_ssize_t count, const int *filter, const double *g, const double *w, double *dx,
                                Py_ssize_t x_row, Py_ssize_t x_pixel)
    Py_ssize_t winner_input_row_f64(Py_ssize_t windows, const int *counts, const int *filter, const double *g,
                                    const double *w, double *dx, Py_ssize_t x_row, Py_ssize_t x_pixel)
    void masked_outer_tile_f32(int m, const Outer *o, const float *x, const ptrdiff_t *value, const float *dy,
                               const uint8_t *winner, float *dw, Py_ssize_t lanes)
    void masked_outer_tile_f64(int m, const Outer *o, const double *x, const ptrdiff_t *value, const double *dy,
                               const uint8_t *winner, double *dw, Py_ssize_t lanes)
    bint unpools_f32(Py_ssize_t F, Py_ssize_t columns)
    bint unpools_f64(Py_ssize_t F, Py_ssize_t columns)
    void unpool_row_f32(const float *dy, const uint8_t *winner, Py_ssize_t F, Py_ssize_t columns, float *dx,
                        Py_ssize_t row)
    void unpool_row_f64(const double *dy, const uint8_t *winner, Py_ssize_t F, Py_ssize_t columns, double *dx,
                        Py_ssize_t row)
    void transpose_f32(const float *x, Py_ssize_t x_step, float *y, Py_ssize_t y_step)
    void transpose_f64(const double *x, Py_ssize_t x_step, double *y, Py_ssize_t y_step)
    void winograd_image_f32(int down, int across, const float *d, Py_ssize_t x_row, Py_ssize_t x_pixel, Py_ssize_t C,
                            float *v, Py_ssize_t element)
    void winograd_gradient_f32(int down, int across, const float *dy, Py_ssize_t y_row, Py_ssize_t y_pixel, Py_ssize_t F,
                               float *z, Py_ssize_t element)
    void winograd_filter_f32(const float *g, Py_ssize_t tap, float *u, Py_ssize_t element)
    void winograd_turned_f32(const float *g, Py_ssize_t tap, Py_ssize_t g_row, float *u, Py_ssize_t element,
                             Py_ssize_t u_row)
    void winograd_filter_gradient_f32(const float *s, Py_ssize_t element, const float *before, bint add, float *dg,
                                      Py_ssize_t tap)
    void winograd_outputs_f32(int down, int across, const float *m, Py_ssize_t element, Py_ssize_t F, const float *bias,
                              float *y, bint relu, Py_ssize_t y_row, Py_ssize_t y_pixel, int rows, int columns)
    void winograd_pooled_f32(int down, int across, const float *m, Py_ssize_t element, Py_ssize_t F, const float *bias,
                             float *y, uint8_t *winner, bint relu, Py_ssize_t y_row, Py_ssize_t y_pixel, int rows,
                             int columns)
    void winograd_image_f64(int down, int across, const double *d, Py_ssize_t x_row, Py_ssize_t x_pixel, Py_ssize_t C,
                            double *v, Py_ssize_t element)
    void winograd_gradient_f64(int down, int across, const double *dy, Py_ssize_t y_row, Py_ssize_t y_pixel, Py_ssize_t F,
                               double *z, Py_ssize_t element)
    void winograd_filter_f64(const double *g, Py_ssize_t tap, double *u, Py_ssize_t element)
    void winograd_turned_f64(const double *g, Py_ssize_t tap, Py_ssize_t g_row, double *u, Py_ssize_t element,
                             Py_ssize_t u_row)
    void winograd_filter_gradient_f64(const double *s, Py_ssize_t element, const double *before, bint add, double *dg,
                                      Py_ssize_t tap)
    void winograd_outputs_f64(int down, int across, const double *m, Py_ssize_t element, Py_ssize_t F, const double *bias,
                              double *y, bint relu, Py_ssize_t y_row, Py_ssize_t y_pixel, int rows, int columns)
    void winograd_pooled_f64(int down, int across, const double *m, Py_ssize_t element, Py_ssize_t F, const double *bias,
                             double *y, uint8_t *winner, bint relu, Py_ssize_t y_row, Py_ssize_t y_pixel, int rows,
                             int columns)
    void times_matrix_f32(Py_ssize_t D, Py_ssize_t U, const float *x, const float *weight, const float *bias, float *y)
    void times_matrix_f64(Py_ssize_t D, Py_ssize_t U, const double *x, const double *weight, const double *bias,
                          double *y)
    void matrix_times_f32(Py_ssize_t D, Py_ssize_t U, const float *weight, const float *dy, float *dx)
    void matrix_times_f64(Py_ssize_t D, Py_ssize_t U, const double *weight, const double *dy, double *dx)
    float largest_f32(const float *x, Py_ssize_t count)
    double largest_f64(const double *x, Py_ssize_t count)
    void descend_f32(Py_ssize_t first, Py_ssize_t last, Py_ssize_t U, const float *x, const float *dy, float lr,
                     float *weight)
    void descend_f64(Py_ssize_t first, Py_ssize_t last, Py_ssize_t U, const double *x, const double *dy, double lr,
                     double *weight)
    void outer_product_f32(Py_ssize_t D, Py_ssize_t U, const float *x, const float *dy, float *dweight)
    void add_outer_product_f32(Py_ssize_t D, Py_ssize_t U, const float *x, const float *dy, float *dweight)
    void outer_product_f64(Py_ssize_t D, Py_ssize_t U, const double *x, const double *dy, double *dweight)
    void add_outer_product_f64(Py_ssize_t D, Py_ssize_t U, const double *x, const double *dy, double *dweight)
    enum: SUM_COLUMNS
    void strip_moments_f32(const float *x, Py_ssize_t rows, Py_ssize_t step, float *centre, float *square, float *off)
    void strip_moments_f64(const double *x, Py_ssize_t rows, Py_ssize_t step, double *centre, double *square,
                           double *off)
    void strip_products_f32(const float *dy, const float *x, const float *row, bint relu, Py_ssize_t rows,
                            Py_ssize_t step, float *product, float *sum)
    void strip_products_f64(const double *dy, const double *x, const double *row, bint relu, Py_ssize_t rows,
                            Py_ssize_t step, double *product, double *sum)
    enum: DEPTH_PIXELS
    enum: SQUARE_PIXELS
    enum: SQUARE_ROWS
    enum: OUTSIDE_ABOVE
    enum: OUTSIDE_BELOW
    enum: OUTSIDE_LEFT
    enum: OUTSIDE_RIGHT
    ctypedef struct Tap:
        Py_ssize_t x, w
    ctypedef struct Depth:
        Py_ssize_t x_row, x_pixel, y_row, y_pixel, taps, w_tap
        const Tap *tap
        int gathered, whole, relu
    void depth_tile_f32(int m, const Depth *d, const float *x, const float *w, const float *bias, float *y,
                        Py_ssize_t outputs)
    void depth_tile_f64(int m, const Depth *d, const double *x, const double *w, const double *bias, double *y,
                        Py_ssize_t outputs)
    void depth_square_tile_f32(const Depth *d, int outside, const float *x, const float *w, const float *bias,
                               float *y, Py_ssize_t outputs)
    void depth_square_tile_f64(const Depth *d, int outside, const double *x, const double *w, const double *bias,
                               double *y, Py_ssize_t outputs)
    void depth_outer_tile_f32(int t, const Depth *d, const Tap *tap, Py_ssize_t pixels, const float *x, const float *y,
                              float *dw, Py_ssize_t outputs)
    void depth_outer_tile_f64(int t, const Depth *d, const Tap *tap, Py_ssize_t pixels, const double *x,
                              const double *y, double *dw, Py_ssize_t outputs)
    void depth_square_outer_tile_f32(const Depth *d, const Tap *tap, const float *x, const float *y, float *dw,
                                     Py_ssize_t outputs)
    void depth_square_outer_tile_f64(const Depth *d, const Tap *tap, const double *x, const double *y, double *dw,
                                     Py_ssize_t outputs)
    void gather_f32(Py_ssize_t pixels, Py_ssize_t depth, Py_ssize_t slots, const float *x, Py_ssize_t x_pixel,
                    const Py_ssize_t *begins, const Py_ssize_t *vectors, const int *index, float *out,
                    Py_ssize_t out_pixel, Py_ssize_t out_depth)
    void gather_f64(Py_ssize_t pixels, Py_ssize_t depth, Py_ssize_t slots, const double *x, Py_ssize_t x_pixel,
                    const Py_ssize_t *begins, const Py_ssize_t *vectors, const long long *index, double *out,
                    Py_ssize_t out_pixel, Py_ssize_t out_depth)

# Numbers in a vector, by dtype character: some kernels want channels or filters in whole vectors.
LANES = {"f": LANES_F32, "d": LANES_F64}

ctypedef fused real_t:
    float
    double

include "spread.pxi"
include "correlate.pxi"
include "along_rows.pxi"
include "few_outputs.pxi"
include "abreast.pxi"
include "conv.pxi"
include "few_pixels.pxi"
include "conv_weight.pxi"
include "few_weight.pxi"
include "few_rows.pxi"
include "pool.pxi"
include "average_pool.pxi"
include "rearrange.pxi"
include "conv_pool.pxi"
include "winner_weight.pxi"
include "masked_weight.pxi"
include "winner_input.pxi"
include "winograd_tiles.pxi"
include "winograd.pxi"
include "winograd_input.pxi"
include "winograd_weight.pxi"
include "lanewise.pxi"
include "depthwise.pxi"
include "depthwise_weight.pxi"
include "activation.pxi"
include "arrays.pxi"
include "random.pxi"
include "warp.pxi"
include "warp_matrices.pxi"
include "batch_norm.pxi"
include "batch_norm_backward.pxi"
include "batch_norm_running.pxi"
include "layer_norm.pxi"
include "loss.pxi"
include "update.pxi"
include "finite.pxi"
include "clip.pxi"
include "penalty.pxi"
