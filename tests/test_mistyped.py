"""Unknown names and invalid numbers given to constructors: errors name the object, the range and the nearest match."""

import re

import pytest

from gwucnn import Adam, Conv2D, Dense, GWUNetwork, MaxPooling2D

MISTYPED = [
    (lambda: GWUNetwork(data_format="NCHW"), ValueError,
     "GWUNetwork: expected data_format to be one of 'channels_last', 'channels_first', got 'NCHW'; did you mean "
     "'channels_first'?"),
    (lambda: GWUNetwork(precision="float16"), ValueError,
     "GWUNetwork: expected precision to be one of 'float32', 'float64', got 'float16'; did you mean 'float32'?"),
    (lambda: GWUNetwork(precision="double"), ValueError,
     "GWUNetwork: expected precision to be one of 'float32', 'float64', got 'double'; did you mean 'float64'?"),
    (lambda: GWUNetwork(fuse="yes"), ValueError, "GWUNetwork: expected fuse to be True or False, got 'yes'"),
    (lambda: GWUNetwork().compile("log_los"), ValueError,
     "compile: expected loss to be one of 'log_loss', 'binary_crossentropy', 'cross_entropy', 'categorical_crossentropy', "
     "'sparse_categorical_crossentropy', 'mse', 'mae', 'huber', got 'log_los'; did you mean 'log_loss'?"),
    (lambda: GWUNetwork().compile("mse", optimizer="Adam"), ValueError,
     "compile: expected optimizer to be one of 'sgd', 'adam', 'adamw', 'rmsprop', 'adagrad', got 'Adam'; did you mean 'adam'?"),
    (lambda: GWUNetwork().compile("mse", lr="fast"), ValueError,
     "SGD: expected lr to be a positive number, got 'fast'"),
    (lambda: GWUNetwork().compile("mse", 0.1, Adam()), ValueError,
     "compile: expected lr inside the optimizer, got lr=0.1 beside Adam(lr=0.001, beta_1=0.9, beta_2=0.999, "
     "epsilon=1e-07, weight_decay=0.0); leave it out"),
    (lambda: GWUNetwork().compile("mse", metrics=["acuracy"]), ValueError,
     "compile: expected metrics to be one of 'accuracy', 'top_k_accuracy', 'precision', 'recall', 'f1', 'auc', got 'acuracy'; did you mean 'accuracy'?"),
    (lambda: GWUNetwork().compile("mse", learning_rat=0.1), TypeError,
     "compile: expected the arguments loss, lr, optimizer, metrics, loss_weights, global_clipnorm, got 'learning_rat'"),
    (lambda: GWUNetwork().fit(0, 0, epoch=3), TypeError,
     "fit: expected the arguments x, y, epochs, batch_size, validation_split, validation_data, shuffle, callbacks, "
     "class_weight, sample_weight, initial_epoch, steps_per_epoch, mix, verbose, distributed, got 'epoch'; did you mean 'epochs'?"),
    (lambda: GWUNetwork().predict(0, batchsize=3), TypeError,
     "predict: expected the arguments x, batch_size, got 'batchsize'; did you mean 'batch_size'?"),
    (lambda: GWUNetwork(sed=1), TypeError,
     "GWUNetwork: expected the arguments layers, data_format, precision, seed, fuse, winograd, inputs, outputs, "
     "got 'sed'; did you mean "
     "'seed'?"),
    (lambda: Conv2D(stride=2), TypeError,
     "Conv2D: expected the arguments filters, kernel_size, strides, padding, dilation_rate, groups, activation, add_bias, "
     "input_size, kernel_initializer, bias_initializer, kernel_regularizer, trainable, name, got 'stride'; did you mean 'strides'?"),
    (lambda: Dense(3, use_bias=True), TypeError,
     "Dense: expected the arguments output_size, add_bias, activation, input_size, kernel_initializer, bias_initializer, "
     "kernel_regularizer, trainable, name, got 'use_bias'; did you mean 'add_bias'?"),
    (lambda: Dense(10, "relu"), ValueError,
     "Dense: expected add_bias to be True or False, got 'relu'; write activation='relu'"),
    (lambda: Dense(10, activation="rleu"), ValueError,
     "Dense: expected activation to be one of 'relu', 'sigmoid', 'softmax', 'tanh', 'leaky_relu', 'elu', 'gelu', 'silu', "
     "'softplus', 'relu6', 'hard_sigmoid', 'hard_swish', 'mish', 'selu', got 'rleu'; did you mean 'relu'?"),
    (lambda: Dense(2.5), ValueError, "Dense: expected output_size to be an integer of at least 1, got 2.5"),
    (lambda: Dense(0), ValueError, "Dense: expected output_size to be an integer of at least 1, got 0"),
    (lambda: Dense(2, input_size=(3, 4)), ValueError,
     "Dense: expected input_size to be an integer of at least 1, got (3, 4)"),
    (lambda: Dense(2, trainable="no"), ValueError, "Dense: expected trainable to be True or False, got 'no'"),
    (lambda: Dense(2, kernel_initializer="glorot"), ValueError,
     "Dense: expected kernel_initializer to be one of 'glorot_uniform', 'glorot_normal', 'he_uniform', 'he_normal', "
     "'lecun_uniform', 'lecun_normal', 'random_normal', 'random_uniform', 'zeros', 'ones', 'orthogonal', got 'glorot'; did "
     "you mean 'glorot_normal'?"),
    (lambda: Conv2D(0), ValueError, "Conv2D: expected filters to be an integer of at least 1, got 0"),
    (lambda: Conv2D(8, 0), ValueError, "Conv2D: expected kernel_size to be an integer of at least 1, got 0"),
    (lambda: Conv2D(8, (3, 3, 3)), ValueError,
     "Conv2D: expected kernel_size to be an integer or a pair of integers, got (3, 3, 3)"),
    (lambda: Conv2D(8, 3, "relu"), ValueError,
     "Conv2D: expected strides to be an integer or a pair of integers, got 'relu'; write it by name, such as "
     "activation='relu'"),
    (lambda: Conv2D(8, 3, 1, "relu"), ValueError,
     "Conv2D: expected padding 'valid', 'same', an integer, (ph, pw) or ((top, bottom), (left, right)), got 'relu'"),
    (lambda: Conv2D(3, groups=2), ValueError, "Conv2D: expected filters to be a multiple of groups=2, got 3; change either"),
    (lambda: Conv2D(input_size="28"), ValueError,
     "Conv2D: expected input_size to be an integer or a pair of integers, got '28'; write 28 without quotes"),
    (lambda: Conv2D(input_size=(28, 28, 0)), ValueError,
     "Conv2D: expected input_size to be an integer of at least 1, got 0"),
    (lambda: MaxPooling2D("2"), ValueError,
     "MaxPooling2D: expected pool_size to be an integer or a pair of integers, got '2'; write 2 without quotes"),
    (lambda: MaxPooling2D(2, 0), ValueError, "MaxPooling2D: expected strides to be an integer of at least 1, got 0"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "kind", "message"), MISTYPED, ids=[re.sub(r"[^\w]+", "-", case[-1])[:40] for case in MISTYPED]
)
def test_mistyped(call, kind, message):
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    assert str(caught.value) == message
