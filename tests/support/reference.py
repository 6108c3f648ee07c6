"""Numpy references for the package's operations: the answers that tests compare with.

Nothing is imported from gwucnn, and no code is shared with it. Every function computes in float64 and returns float64
whatever it is given: its result is the accurate answer, and the distance of a float32 kernel from it is the kernel's
own error. Channels last, shapes in the letters of the package:
x (N, H, W, C), weight (KH, KW, C / groups, F), dense weight (D, U).
"""

import math
from fractions import Fraction

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def bound(magnitude, terms, dtype):
    """Return how far a sum of `terms` products may lie from the accurate one; `magnitude` sums their sizes.

    Rounding errors of a sum, in any order, grow like a random walk, sqrt(terms), with a constant for the
    products, the bias and the final rounding (N. J. Higham, "Accuracy and Stability of Numerical Algorithms",
    section 2.6).
    """
    roundoff = np.finfo(dtype).eps / 2
    return 4 * roundoff * (4 + np.sqrt(terms)) * magnitude


# ------------------------------------------------------------------------------------------------- windows


def wide(x):
    """Return a float64 copy as an array. (Some versions of numpy return a number from np.float64 for a single element.)"""
    return np.array(x, np.float64)


def pair(value):
    """Return (rows, columns) of a size given as one number or as two."""
    return (value, value) if np.ndim(value) == 0 else tuple(value)


def pads(padding, size, window, strides=1, dilation_rate=1):
    """Return ((top, bottom), (left, right)) for any way of saying it, for an image of `size` = (H, W)."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        # TensorFlow's rule: ceil(size / stride) outputs; where the rows to add are odd, one more at the end.
        spans = zip(size, pair(window), pair(strides), pair(dilation_rate), strict=True)
        total = [max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0) for n, k, s, d in spans]
        return tuple((t // 2, t - t // 2) for t in total)
    return tuple((p, p) if np.ndim(p) == 0 else tuple(p) for p in pair(padding))


def output_size(size, window, strides=1, padding="valid", dilation_rate=1):
    """Return (OH, OW), how often the window fits in the padded image."""
    sides = pads(padding, size, window, strides, dilation_rate)
    spans = zip(size, sides, pair(window), pair(strides), pair(dilation_rate), strict=True)
    return tuple((n + before + after - (k - 1) * d - 1) // s + 1 for n, (before, after), k, s, d in spans)


def _windows(x, window, strides, padding, dilation_rate=1, fill=0.0):
    """Return the view (N, OH, OW, C, KH, KW) of every window of the padded images."""
    (KH, KW), (SH, SW), (DH, DW) = pair(window), pair(strides), pair(dilation_rate)
    padded = np.pad(
        x,
        ((0, 0), *pads(padding, x.shape[1:3], window, strides, dilation_rate), (0, 0)),
        constant_values=fill,
    )
    spread = sliding_window_view(padded, ((KH - 1) * DH + 1, (KW - 1) * DW + 1), axis=(1, 2))
    return spread[:, ::SH, ::SW, :, ::DH, ::DW]


# --------------------------------------------------------------------------------------------- convolution


def conv2d(x, weight, bias=None, *, strides=1, padding="valid", dilation_rate=1, groups=1):
    """y (N, OH, OW, F): every window times every filter, group by group."""
    x, weight = wide(x), wide(weight)
    windows = _windows(x, weight.shape[:2], strides, padding, dilation_rate)
    parts = zip(np.split(windows, groups, axis=3), np.split(weight, groups, axis=3), strict=True)
    y = np.concatenate([np.tensordot(part, w, ([4, 5, 3], [0, 1, 2])) for part, w in parts], axis=-1)
    return y if bias is None else y + wide(bias)


def _taps(size, weight_shape, dy_shape, strides, padding, dilation_rate, groups):
    """Yield, for each tap and group, u, v, the filters, and (rows, columns, channels) of the padded image."""
    (SH, SW), (DH, DW) = pair(strides), pair(dilation_rate)
    KH, KW, CG, F = weight_shape
    OH, OW = dy_shape[1:3]
    for u, v, g in np.ndindex(KH, KW, groups):
        rows = slice(u * DH, u * DH + (OH - 1) * SH + 1, SH)
        columns = slice(v * DW, v * DW + (OW - 1) * SW + 1, SW)
        yield (
            u,
            v,
            slice(g * F // groups, (g + 1) * F // groups),
            (rows, columns, slice(g * CG, (g + 1) * CG)),
        )


def conv2d_backward_input(dy, weight, input_shape, *, strides=1, padding="valid", dilation_rate=1, groups=1):
    """dx (N, H, W, C): each tap hands dy times its weight to the pixels it lay on; padding is cut off."""
    dy, weight = wide(dy), wide(weight)
    N, H, W, C = input_shape
    (top, bottom), (left, right) = pads(padding, (H, W), weight.shape[:2], strides, dilation_rate)
    dx = np.zeros((N, top + H + bottom, left + W + right, C))
    taps = _taps((H, W), weight.shape, dy.shape, strides, padding, dilation_rate, groups)
    for u, v, filters, (rows, columns, channels) in taps:
        dx[:, rows, columns, channels] += dy[..., filters] @ weight[u, v, :, filters].T
    return dx[:, top : top + H, left : left + W]


def conv2d_backward_weight(x, dy, weight_shape, *, strides=1, padding="valid", dilation_rate=1, groups=1):
    """dweight (KH, KW, C / groups, F): for each tap, pixels times dy, summed over images and places."""
    x, dy = wide(x), wide(dy)
    sides = pads(padding, x.shape[1:3], weight_shape[:2], strides, dilation_rate)
    padded = np.pad(x, ((0, 0), *sides, (0, 0)))
    dweight = np.empty(weight_shape)
    taps = _taps(x.shape[1:3], weight_shape, dy.shape, strides, padding, dilation_rate, groups)
    for u, v, filters, (rows, columns, channels) in taps:
        pixels = padded[:, rows, columns, channels]
        dweight[u, v, :, filters] = np.tensordot(pixels, dy[..., filters], ([0, 1, 2], [0, 1, 2]))
    return dweight


# ---------------------------------------------------------------------------------- transposed convolution


def transposed_sides(size, window, strides=1, padding="valid", output_padding=None, dilation_rate=1):
    """Return, by axis, (length, first): rows of the output, and which row of the whole is its first.

    The whole is what no padding is cut from. Keras' rule: keras/src/backend/common/backend_utils.py, functions
    _get_output_shape_given_tf_padding and _convert_conv_transpose_padding_args_from_keras_to_jax.
    """
    sides = []
    more = (None, None) if output_padding is None else pair(output_padding)
    spans = zip(size, pair(window), pair(strides), pair(dilation_rate), more, range(2), strict=True)
    for n, k, s, d, extra, axis in spans:
        k = (k - 1) * d + 1
        if padding == "valid":
            sides.append(((n - 1) * s + k + (max(k, s) - k if extra is None else extra), 0))
        elif padding == "same":
            length = n * s if extra is None else (n - 1) * s + k % 2 + extra
            # What an input dilated with zeros gets on its left so that a valid convolution gives `length`.
            all_of_it = s + k - 2 if extra is None else k + k % 2 - 2 + extra
            sides.append((length, k - 1 - min(all_of_it // 2 + all_of_it % 2, k - 1)))
        else:
            before, after = pads(padding, size, window)[axis]
            sides.append(((n - 1) * s + k - before - after + (extra or 0), before))
    return sides


def _stamps(x_shape, weight_shape, strides, padding, output_padding, dilation_rate, groups):
    """Return the shape of the whole, the part of it that is the output, and a list of (pixel, tap, place)."""
    (N, H, W, C), (KH, KW, FG, _) = x_shape, weight_shape
    (SH, SW), (DH, DW) = pair(strides), pair(dilation_rate)
    rows, columns = transposed_sides((H, W), (KH, KW), strides, padding, output_padding, dilation_rate)
    whole = (
        N,
        max((H + 1) * SH + KH * DH, sum(rows)),
        max((W + 1) * SW + KW * DW, sum(columns)),
        FG * groups,
    )
    part = np.s_[:, rows[1] : sum(rows), columns[1] : sum(columns)]
    pixels = []
    for h, w, u, v, c in np.ndindex(H, W, KH, KW, C):
        first = c // (C // groups) * FG
        place = np.s_[:, h * SH + u * DH, w * SW + v * DW, first : first + FG]
        pixels.append((np.s_[:, h, w, c], np.s_[u, v, :, c], place))
    return whole, part, pixels


def conv2d_transpose(
    x, weight, bias=None, *, strides=1, padding="valid", output_padding=None, dilation_rate=1, groups=1
):
    """y (N, OH, OW, F): every pixel stamps its filters, weight (KH, KW, F / groups, C), on a larger image."""
    x, weight = wide(x), wide(weight)
    options = (strides, padding, output_padding, dilation_rate, groups)
    whole, part, pixels = _stamps(x.shape, weight.shape, *options)
    y = np.zeros(whole)
    for pixel, tap, place in pixels:
        y[place] += x[pixel][:, None] * weight[tap]
    return y[part] if bias is None else y[part] + wide(bias)


def conv2d_transpose_backward(
    x, weight, dy, *, strides=1, padding="valid", output_padding=None, dilation_rate=1, groups=1
):
    """dx and dweight: what each stamp left of dy, by the other factor."""
    x, weight = wide(x), wide(weight)
    options = (strides, padding, output_padding, dilation_rate, groups)
    whole, part, pixels = _stamps(x.shape, weight.shape, *options)
    spread, dx, dweight = np.zeros(whole), np.zeros(x.shape), np.zeros(weight.shape)
    spread[part] = dy
    for pixel, tap, place in pixels:
        dx[pixel] += spread[place] @ weight[tap]
        dweight[tap] += x[pixel] @ spread[place]
    return dx, dweight


# ------------------------------------------------------------------------------------------------- pooling


def max_pool2d(x, pool_size, strides=None, padding="valid"):
    """(y, winner), both (N, OH, OW, C): the largest of each window and u * PW + v of the first that is.

    NaN counts as larger than any number, and padding takes no part.
    """
    x = wide(x)
    strides = pool_size if strides is None else strides
    real = _windows(np.ones_like(x), pool_size, strides, padding) == 1
    values = _windows(x, pool_size, strides, padding)
    PH, PW = pair(pool_size)
    best = np.full(values.shape[:4], np.nan)
    winner = np.full(values.shape[:4], -1)
    for u, v in np.ndindex(PH, PW):
        pixel = values[..., u, v]
        larger = (winner < 0) | (pixel > best) | (np.isnan(pixel) & ~np.isnan(best))
        wins = real[..., u, v] & larger
        best[wins] = pixel[wins]
        winner[wins] = u * PW + v
    return best, winner


def max_pool2d_backward(dy, winner, input_shape, pool_size, strides=None, padding="valid"):
    """dx (N, H, W, C): each window's gradient goes to its winner; windows that share a winner add."""
    (SH, SW), (_, PW) = pair(pool_size if strides is None else strides), pair(pool_size)
    (top, _), (left, _) = pads(padding, input_shape[1:3], pool_size, (SH, SW))
    winner = np.int64(winner)
    n, i, j, c = np.indices(winner.shape)
    dx = np.zeros(input_shape)
    np.add.at(dx, (n, i * SH + winner // PW - top, j * SW + winner % PW - left, c), wide(dy))
    return dx


def average_pool2d(x, pool_size, strides=None, padding="valid", *, count_include_pad=False):
    """y (N, OH, OW, C): the mean of each window's pixels, of the image alone or with the padding as zeros."""
    x = wide(x)
    strides = pool_size if strides is None else strides
    total = _windows(x, pool_size, strides, padding).sum(axis=(4, 5))
    return total / _counts(x.shape, pool_size, strides, padding, count_include_pad)


def _counts(input_shape, pool_size, strides, padding, count_include_pad):
    """Return by how much each window's sum is divided, shape (N, OH, OW, C)."""
    ones = _windows(np.ones(input_shape), pool_size, strides, padding, fill=float(count_include_pad))
    return ones.sum(axis=(4, 5))


def average_pool2d_backward(dy, input_shape, pool_size, strides=None, padding="valid", *, count_include_pad=False):
    """dx (N, H, W, C): each window's gradient in equal shares to its pixels."""
    strides = pool_size if strides is None else strides
    share = wide(dy) / _counts(input_shape, pool_size, strides, padding, count_include_pad)
    C = input_shape[3]
    # A sum over a window is a convolution with ones, one group for each channel.
    ones = np.ones((*pair(pool_size), 1, C))
    return conv2d_backward_input(share, ones, input_shape, strides=strides, padding=padding, groups=C)


# --------------------------------------------------------------------------------- dense and activations


def dense(x, weight, bias=None):
    """y (N, U) = x @ weight + bias."""
    y = wide(x) @ wide(weight)
    return y if bias is None else y + wide(bias)


def dense_backward_input(dy, weight):
    """dx (N, D) = dy @ weight.T."""
    return wide(dy) @ wide(weight).T


def dense_backward_weight(x, dy):
    """dweight (D, U) = x.T @ dy."""
    return wide(x).T @ wide(dy)


def relu(x):
    """The positive part; NaN stays NaN."""
    return np.maximum(wide(x), 0)


def relu_backward(dy, y):
    """0 where y <= 0, otherwise dy (so that NaN in y does not silence the gradient)."""
    return np.where(np.asarray(y) <= 0, 0, wide(dy))


def sigmoid(x):
    """1 / (1 + exp(-x)), by way of its logarithm, which neither overflows nor loses digits on either side."""
    return np.exp(-np.logaddexp(0, -wide(x)))


def tanh(x):
    """(exp(2x) - 1) / (exp(2x) + 1)."""
    return np.tanh(wide(x))


def tanh_backward(dy, y):
    """dy * (1 - y**2)."""
    return wide(dy) * (1 - wide(y) ** 2)


def leaky_relu(x, negative_slope=0.3):
    """x above 0, negative_slope * x below."""
    x = wide(x)
    return np.where(x > 0, x, negative_slope * x)


def leaky_relu_backward(dy, x, negative_slope=0.3):
    """dy above 0, negative_slope * dy below."""
    return wide(dy) * np.where(np.asarray(x) > 0, 1, negative_slope)


def elu(x, alpha=1.0):
    """x above 0, alpha * (exp(x) - 1) below."""
    x = wide(x)
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def elu_backward(dy, x, alpha=1.0):
    """dy above 0, dy * alpha * exp(x) below."""
    x = wide(x)
    return wide(dy) * np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0)))


def relu6(x):
    return np.clip(wide(x), 0, 6)


def relu6_backward(dy, y):
    return np.where((np.asarray(y) <= 0) | (np.asarray(y) >= 6), 0, wide(dy))


def hard_sigmoid(x):
    return np.clip(wide(x) + 3, 0, 6) / 6


def hard_sigmoid_backward(dy, y):
    return np.where((np.asarray(y) <= 0) | (np.asarray(y) >= 1), 0, wide(dy) / 6)


def hard_swish(x):
    x = wide(x)
    return np.where(x <= -3, 0, np.where(x >= 3, x, x * (x + 3) / 6))


def hard_swish_backward(dy, x):
    x = wide(x)
    return wide(dy) * np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5))


def mish(x):
    """x times the tanh of softplus, straight from its definition."""
    x = wide(x)
    return x * np.tanh(np.logaddexp(0, x))


def mish_backward(dy, x):
    x = wide(x)
    share = np.tanh(np.logaddexp(0, x))
    return wide(dy) * (share + x * sigmoid(x) * (1 - share**2))


SELU = {"alpha": 1.6732632423543772848170429916717, "scale": 1.0507009873554804934193349852946}


def selu(x):
    return SELU["scale"] * elu(x, SELU["alpha"])


def selu_backward(dy, x):
    return SELU["scale"] * elu_backward(dy, x, SELU["alpha"])


def normal_share(x):
    """The part of the normal distribution below x, by the C library's erfc."""
    return np.vectorize(math.erfc, otypes=[float])(-wide(x) / math.sqrt(2)) / 2


def gelu(x, approximate=False):
    """x times the part of the normal distribution below x, or the formula with tanh.

    (1 + tanh(u)) / 2 = sigmoid(2 * u), which does not lose the digits of small results.
    """
    x = wide(x)
    if approximate:
        return x * sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    return x * normal_share(x)


def gelu_backward(dy, x, approximate=False):
    """dy times the slope, written down by the product rule."""
    x = wide(x)
    if approximate:
        t = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
        inner = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
        return wide(dy) * ((1 + t) / 2 + x / 2 * (1 - t**2) * inner)
    return wide(dy) * (normal_share(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


def silu(x):
    """x * sigmoid(x)."""
    return wide(x) * sigmoid(x)


def silu_backward(dy, x):
    """dy times the slope, by the product rule."""
    s = sigmoid(x)
    return wide(dy) * (s + wide(x) * s * (1 - s))


def softplus(x):
    """log(1 + exp(x))."""
    return np.logaddexp(0, wide(x))


def softplus_backward(dy, x):
    """dy * sigmoid(x)."""
    return wide(dy) * sigmoid(x)


def sigmoid_backward(dy, y):
    """dy * y * (1 - y)."""
    return wide(dy) * wide(y) * (1 - wide(y))


def softmax(x):
    """exp(x) / sum(exp(x)) along the last axis."""
    x = wide(x)
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(dy, y):
    """dy through the full matrix of slopes diag(y) - y y^T of each row, as the definition has it."""
    dy, y = wide(dy), wide(y)
    slopes = y[..., :, None] * (np.eye(y.shape[-1]) - y[..., None, :])
    return np.einsum("...k,...ku->...u", dy, slopes)


# --------------------------------------------------------------- losses: (value, gradient by the logits)


def log_loss(logits, targets):
    """Cross-entropy of a sigmoid, summed over outputs and averaged over the batch."""
    z, t = wide(logits), wide(targets)
    # -t * log(p) - (1 - t) * log(1 - p) with p = sigmoid(z), multiplied out: no log of a rounded p.
    return np.sum(np.logaddexp(0, z) - t * z) / len(z), (sigmoid(z) - t) / len(z)


def binary_crossentropy(logits, targets):
    """Cross-entropy of a sigmoid, averaged over outputs and batch."""
    value, gradient = log_loss(logits, targets)
    outputs = gradient[0].size
    return value / outputs, gradient / outputs


def categorical_crossentropy(logits, targets):
    """Cross-entropy of a softmax with one-hot targets, averaged over the batch."""
    z, t = wide(logits), wide(targets)
    log_sum = np.logaddexp.reduce(z, axis=-1, keepdims=True)
    return np.sum(t * (log_sum - z)) / len(z), (np.exp(z - log_sum) - t) / len(z)


def mse(outputs, targets):
    """Squared difference, averaged over outputs and batch."""
    difference = wide(outputs) - wide(targets)
    return np.mean(difference**2), 2 * difference / difference.size


def mae(outputs, targets):
    """Size of the difference, averaged over outputs and batch."""
    difference = wide(outputs) - wide(targets)
    return np.mean(np.abs(difference)), np.sign(difference) / difference.size


def huber(outputs, targets, delta=1.0):
    """Half the square of small differences, a straight line for large ones, averaged over outputs and batch."""
    difference = wide(outputs) - wide(targets)
    size = np.abs(difference)
    inside = np.minimum(size, delta)
    # The integral of min(size, delta): a triangle, and behind it a rectangle.
    value = np.mean(inside**2 / 2 + delta * (size - inside))
    return value, np.sign(difference) * inside / difference.size


# ---------------------------------------------------- optimizers: one step, everything returned, nothing kept


def sgd(value, grad, velocity, *, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    """(value, velocity) after one step of torch.optim.SGD's rule."""
    grad = wide(grad) + weight_decay * wide(value)
    velocity = momentum * wide(velocity) + grad
    direction = grad + momentum * velocity if nesterov else velocity
    return wide(value) - lr * direction, velocity


def adam(value, grad, first, second, step, *, lr, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=0.0):
    """(value, first moment, second moment) after step number 1, 2, ... of torch.optim.Adam's rule."""
    grad = wide(grad) + weight_decay * wide(value)
    first = beta_1 * wide(first) + (1 - beta_1) * grad
    second = beta_2 * wide(second) + (1 - beta_2) * grad**2
    mean, square = first / (1 - beta_1**step), second / (1 - beta_2**step)
    return wide(value) - lr * mean / (np.sqrt(square) + epsilon), first, second


def adamw(value, grad, first, second, step, *, lr, weight_decay=0.004, **options):
    """(value, first moment, second moment) after step number 1, 2, ... of torch.optim.AdamW's rule."""
    return adam(wide(value) * (1 - lr * weight_decay), grad, first, second, step, lr=lr, **options)


def rmsprop(value, grad, square, mean, velocity, *, lr, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False):
    """(value, mean square, mean, velocity) after one step of torch.optim.RMSprop's rule."""
    grad = wide(grad)
    square = rho * wide(square) + (1 - rho) * grad**2
    mean = rho * wide(mean) + (1 - rho) * grad
    root = np.sqrt(np.maximum(square - mean**2, 0) if centered else square)
    velocity = momentum * wide(velocity) + grad / (root + epsilon)
    return wide(value) - lr * velocity, square, mean, velocity


def adagrad(value, grad, total, *, lr, epsilon=1e-7):
    """(value, sum of squares) after one step of torch.optim.Adagrad's rule."""
    grad = wide(grad)
    total = total + grad**2
    return wide(value) - lr * grad / (np.sqrt(total) + epsilon), total


# -------------------------------------------------------------------------------------------- random numbers


def philox(counter, key):
    """Four words from a counter of four words and a key of two: Salmon et al., SC 2011, section 3.2."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        p, q = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (q >> 32) ^ b ^ k0, q & 0xFFFFFFFF, (p >> 32) ^ d ^ k1, p & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return a, b, c, d


def random_words(key, draw, size):
    """The first `size` words of a draw, as uint32: sixteen blocks side by side, first words first."""
    halves = [(draw & 0xFFFFFFFF, draw >> 32), (key & 0xFFFFFFFF, key >> 32)]
    blocks = [philox((block, 0, *halves[0]), halves[1]) for block in range(-(-size // 64) * 16)]
    words = np.array(blocks, np.uint32).reshape(-1, 16, 4)
    return words.transpose(0, 2, 1).reshape(-1)[:size]


# ------------------------------------------------------------------------------------------- normalisation


def rows_of(x):
    """x (..., C) as rows (R, C) in float64."""
    return wide(x).reshape(-1, x.shape[-1])


def batch_norm(x, gamma, beta, mean, variance, epsilon):
    """y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, channel by channel."""
    root = np.sqrt(wide(variance) + epsilon)
    return wide(gamma) * (wide(x) - wide(mean)) / root + wide(beta)


def batch_norm_backward(dy, x, gamma, epsilon):
    """(dx, dgamma, dbeta) through the batch's own statistics, by the chain rule, one link after the other."""
    dy, x, shape, gamma = rows_of(dy), rows_of(x), x.shape, wide(gamma)
    R, centred = len(x), x - x.mean(axis=0)
    spread = np.sqrt((centred**2).mean(axis=0) + epsilon)
    dz = dy * gamma
    dspread = -(dz * centred).sum(axis=0) / spread**2
    dcentred = dz / spread + dspread / (2 * spread) * 2 * centred / R
    dx = dcentred - dcentred.sum(axis=0) / R
    return dx.reshape(shape), (dy * centred / spread).sum(axis=0), dy.sum(axis=0)


def layer_norm(x, gamma, beta, epsilon):
    """Each row by its own mean and variance."""
    x = wide(x)
    z = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + epsilon)
    return z * wide(gamma) + wide(beta)


def group_variance(x, groups):
    """The variance of the group of each element, in the shape of x."""
    split = wide(x).reshape(len(x), -1, groups, x.shape[-1] // groups)
    return np.broadcast_to(split.var(axis=(1, 3), keepdims=True), split.shape).reshape(x.shape)


def group_norm(x, gamma, beta, groups, epsilon):
    """Each group of channels of each image by its own mean and variance."""
    x = wide(x)
    C = x.shape[-1]
    split = x.reshape(len(x), -1, groups, C // groups)
    mean, variance = split.mean(axis=(1, 3), keepdims=True), split.var(axis=(1, 3), keepdims=True)
    return ((split - mean) / np.sqrt(variance + epsilon)).reshape(x.shape) * wide(gamma) + wide(beta)


def layer_norm_backward(dy, x, gamma, epsilon):
    """(dx, dgamma, dbeta): rows are to a layer what channels are to a batch."""
    dz = (wide(dy) * wide(gamma)).reshape(-1, x.shape[-1])
    dx = batch_norm_backward(dz.T, rows_of(x).T, np.ones(len(dz)), epsilon)[0].T
    z = layer_norm(x, np.ones(x.shape[-1]), np.zeros(x.shape[-1]), epsilon)
    return dx.reshape(x.shape), rows_of(dy * z).sum(axis=0), rows_of(dy).sum(axis=0)


# ---------------------------------------------------------------------------------------------------- warps


def places(matrices, size):
    """Return (r, c), each of shape (N, H, W): where in its image each pixel of the result comes from."""
    i, j = np.meshgrid(*map(np.arange, size), indexing="ij")
    pixels = np.stack([i, j, np.ones(size)])
    return np.einsum("nak,kij->anij", wide(matrices), pixels)


def _tents(matrices, size):
    """Return how much each row, and each column, of the image counts: 1 at the place, 0 a pixel away from it."""
    with np.errstate(invalid="ignore"):
        return [
            np.maximum(0, 1 - abs(place[..., None] - np.arange(n)))
            for place, n in zip(places(matrices, size), size, strict=True)
        ]


def resize(x, size, interpolation="bilinear"):
    """y (N, *size, C): each pixel by itself, at its place within x; Keras' and TensorFlow's half_pixel_centers."""
    x = wide(x)
    for axis, made in ((1, size[0]), (2, size[1])):
        length, lines = x.shape[axis], []
        for i in range(made):
            place = Fraction(2 * i + 1, 2) * Fraction(length, made)
            if interpolation == "nearest":
                lines.append(x.take(math.floor(place), axis))
                continue
            place = min(max(place - Fraction(1, 2), 0), length - 1)
            low = math.floor(place)
            share = float(place - low)
            line = x.take(low, axis)
            lines.append((1 - share) * line + share * x.take(low + 1, axis) if share else line)
        x = np.stack(lines, axis)
    return x


def affine_warp(x, matrices, fill_value=0.0):
    rows, columns = _tents(matrices, x.shape[1:3])
    inside = np.einsum("nijh,nijw->nij", rows, columns)
    mixed = np.einsum("nijh,nijw,nhwc->nijc", rows, columns, wide(x))
    return mixed + fill_value * (1 - inside[..., None])


def continued_warp(x, matrices, mode):
    """Warp images that are surrounded by as many copies as it takes."""
    size = x.shape[1:3]
    margins = [math.ceil(abs(place).max()) + 2 for place in places(matrices, size)]
    x = np.pad(wide(x), ((0, 0), *((margin,) * 2 for margin in margins), (0, 0)), mode)
    rows, columns = (
        np.maximum(0, 1 - abs(place[..., None] + margin - np.arange(n + 2 * margin)))
        for place, margin, n in zip(places(matrices, size), margins, size, strict=True)
    )
    # Image by image: numpy counts all steps of a loop in 32 bits where addresses have 32.
    return np.stack([np.einsum("ijh,ijw,hwc->ijc", *parts) for parts in zip(rows, columns, x, strict=True)])


def affine_warp_backward(dy, matrices):
    rows, columns = _tents(matrices, dy.shape[1:3])
    return np.einsum("nijh,nijw,nijc->nhwc", rows, columns, wide(dy))
