/* Table of the elementwise activations by name, from which the kernel in activation.pxi takes its loops. */
#pragma once
#include "variants/kernels.h"

typedef struct {
    const char *name;
    double operations;          /* cost of one element in operations; see Elementwise in activation.pxi */
    void (*f32)(const float *x, float *y, ptrdiff_t count, float option);
    void (*f64)(const double *x, double *y, ptrdiff_t count, double option);
    void (*backward_f32)(const float *dy, const float *x, float *dx, ptrdiff_t count, float option);
    void (*backward_f64)(const double *dy, const double *x, double *dx, ptrdiff_t count, double option);
} Formula;

#define FORMULA(name, operations) \
    {#name, operations, name##_each_f32, name##_each_f64, name##_backward_each_f32, name##_backward_each_f64},
static const Formula formulas[] = {
    FORMULA(sigmoid, 100)
    FORMULA(tanh, 100)
    FORMULA(leaky_relu, 40)
    FORMULA(elu, 80)
    FORMULA(gelu, 150)
    FORMULA(gelu_tanh, 150)
    FORMULA(silu, 100)
    FORMULA(softplus, 150)
};
enum { FORMULAS = sizeof formulas / sizeof *formulas };
#undef FORMULA
