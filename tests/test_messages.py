"""Beginners' mistakes, and what each error must say: what was expected, what was given, and how to fix it.

Each line is a program; x are 12 images of 8x8 pixels, y their labels 0 to 2, net() a new network for them.
"""

import re
import warnings

import numpy as np
import pytest

import gwucnn
from gwucnn import Conv2D, Dense, Flatten, GWUNetwork, MaxPooling2D


def net(**options):
    network = GWUNetwork(
        [Conv2D(4, 3, activation="relu"), MaxPooling2D(2), Flatten(), Dense(3, activation="softmax")], seed=0
    )
    network.compile("cross_entropy", **{"lr": 0.1} | options)
    return network


class Endless:
    """Two batches, by number; nobody who asks for a third is told that there is none."""

    def __len__(self):
        return 2

    def __getitem__(self, number):
        return np.zeros((4, 8, 8)), np.zeros(4, int)


class Keras:
    def on_epoch_end(self, epoch, logs):
        pass


class Batchwise:
    def on_epoch_end(self, record):
        pass

    def on_train_batch_end(self, batch, logs):
        pass


class TwoArguments:
    def on_batch_end(self, batch, logs):
        pass


class Mistyped:
    def on_train_begin(self):
        pass

    def on_epoch_ends(self, record):
        pass


def objects(*items):
    made = np.empty(len(items), object)
    made[:] = items
    return made


# program, kind of error, what it must say was expected, what there was, and how to fix it (regular expressions)
MISTAKES = [
    # layers that do not fit on each other
    ("GWUNetwork([Conv2D(4, 3), Dense(10)]).build((8, 8))", "ShapeError",
     r"1\.Dense: expected a flat input", r"\(6, 6, 4\)", r"put Flatten\(\) before"),
    ("GWUNetwork([Flatten(), Conv2D(4, 3)]).build((8, 8))", "ShapeError",
     r"1\.Conv2D: expected images \(H, W, C\)", r"\(64,\)", r"before Flatten\(\)"),
    ("GWUNetwork([Dense(10), MaxPooling2D(2)]).build(64)", "ShapeError",
     r"1\.MaxPooling2D: expected images", r"\(10,\)", r"before Flatten\(\)"),
    ("GWUNetwork([Conv2D(4, 9)]).build((8, 8))", "ShapeError",
     r"0\.Conv2D: expected kernel_size to fit in an image of 8x8", "9x9 pixels", "smaller window.*padding='same'"),
    ("GWUNetwork([Conv2D(4), MaxPooling2D(4), MaxPooling2D()]).build((8, 8))", "ShapeError",
     r"2\.MaxPooling2D: expected pool_size to fit in an image of 1x1", "2x2 pixels", "larger images"),
    ("GWUNetwork([Conv2D(4, 3, groups=2)]).build((8, 8, 3))", "ShapeError",
     r"0\.Conv2D: expected channels to be a multiple of groups=2", "3", "change groups"),
    ("Conv2D(3, 3, groups=2)", "ValueError",
     "Conv2D: expected filters to be a multiple of groups=2", "3", "change either"),
    ("GWUNetwork([MaxPooling2D(2, padding=3)]).build((8, 8))", "ShapeError",
     r"0\.MaxPooling2D: expected padding smaller than the window \(2, 2\)", r"\(3, 3\)", "lower padding"),
    ("GWUNetwork([Residual([Conv2D(4, 3)])]).build((8, 8))", "ShapeError",
     r"0\.Residual: expected layers and shortcut to make the same shape", r"\(6, 6, 4\) and \(8, 8, 1\)",
     r"give the layers padding='same', and shortcut=Conv2D\(4, 1\)"),
    ("GWUNetwork([Residual([Conv2D(1, 3)])]).build((8, 8))", "ShapeError",
     r"0\.Residual: expected layers and shortcut to make the same shape", r"\(6, 6, 1\) and \(8, 8, 1\)",
     r"give the layers padding='same'$"),
    ("GWUNetwork([Residual([Conv2D(4, 3, 2, 'same')])]).build((9, 8))", "ShapeError",
     r"0\.Residual: expected layers and shortcut to make the same shape", r"\(5, 4, 4\) and \(9, 8, 1\)",
     r"give shortcut=Conv2D\(4, 1, strides=2\)$"),
    ("GWUNetwork([Residual([Conv2D(4, 3, 1, 'same')])]).build((8, 8))", "ShapeError",
     r"0\.Residual: expected layers and shortcut to make the same shape", r"\(8, 8, 4\) and \(8, 8, 1\)",
     r"give shortcut=Conv2D\(4, 1\)$"),
    ("GWUNetwork([Conv2D])", "TypeError", "add: expected a layer", "class", r"write Conv2D\(\.\.\.\)"),
    ("GWUNetwork(Dense(3))", "TypeError", "GWUNetwork: expected a list of layers", "Dense", r"write GWUNetwork\(\["),
    ("GWUNetwork(Dense(3), Dense(2))", "TypeError",
     "GWUNetwork: expected 1 argument without a name at most, layers", "2", "pass them as one list"),
    ("GWUNetwork().add([Dense(3)])", "TypeError", "add: expected a layer", r"\[Dense", "one by one"),
    ("d = Dense(3); GWUNetwork([d, d])", "ValueError", "add: expected a layer that belongs to no network yet", r"0\.Dense",
     "make a new one"),
    # images that do not fit
    ("GWUNetwork([Conv2D(4, input_size=28)]).predict(x)", "ShapeError",
     r"0\.Conv2D: expected inputs of shape \(N, 28, 28, 1\)", r"\(N, 8, 8, 1\)", "resize the images"),
    ("GWUNetwork([Conv2D(4, input_size=(8, 8, 3))]).predict(x)", "ShapeError",
     r"0\.Conv2D: expected inputs of shape \(N, 8, 8, 3\)", r"\(N, 8, 8, 1\)", "give images of 3 channels"),
    ("GWUNetwork([Conv2D(4, input_size=(8, 8, 3))]).predict(np.zeros((2, 3, 8, 8)))", "ShapeError",
     r"0\.Conv2D: expected inputs of shape \(N, 8, 8, 3\)", r"\(N, 3, 8, 8\)", r"transpose\(0, 2, 3, 1\)"),
    ("GWUNetwork([Conv2D(4, input_size=(3, 8, 8))], data_format='channels_first').predict(np.zeros((2, 8, 8, 3)))",
     "ShapeError", r"0\.Conv2D: expected inputs of shape \(N, 3, 8, 8\)", r"\(N, 8, 8, 3\)", r"transpose\(0, 3, 1, 2\)"),
    ("GWUNetwork([Conv2D(4, input_size=8)]).predict(x[0])", "ShapeError",
     r"0\.Conv2D: expected inputs of shape \(N, 8, 8, 1\)", r"\(N, 8\)", r"for one image pass x\[None\]"),
    ("GWUNetwork([Conv2D(4, input_size=(8, 8, 3))]).predict(np.zeros((8, 8, 3)))", "ShapeError",
     r"0\.Conv2D: expected inputs of shape \(N, 8, 8, 3\)", r"\(N, 8, 3, 1\)", r"for one image pass x\[None\]"),
    ("n = net(); n.fit(x, y); n.predict(np.zeros((2, 9, 9)))", "ShapeError",
     r"0\.Conv2D: expected inputs of shape \(N, 8, 8, 1\)", r"\(N, 9, 9, 1\)", "resize the images"),
    ("GWUNetwork([Dense(2, input_size=64)]).predict(np.zeros((3, 63)))", "ShapeError",
     r"0\.Dense: expected inputs of shape \(N, 64\)", r"\(N, 63\)", "give inputs like those"),
    ("net().fit(x.reshape(12, 64), y)", "ShapeError", r"0\.Conv2D: expected images", r"\(64,\)",
     r"give x as \(N, H, W\)"),
    ("net().predict(x[0, 0])", "ShapeError", r"predict: expected x of shape \(N, H, W\)", r"\(8,\)", r"pass x\[None\]"),
    ("net().fit([x[0], x[1, :5]], [0, 1])", "ShapeError", "fit: expected samples of one size in x",
     r"\(8, 8\) and \(5, 8\)", "resize"),
    ("net().fit('images/', y)", "TypeError", "fit: expected x to be an array of numbers", "strings such as 'images/'",
     "read the files"),
    ("net().predict(['a.png', 'b.png'])", "TypeError", "predict: expected x to be an array of numbers", "'a.png'",
     "read the files"),
    ("net().predict(None)", "TypeError", "predict: expected x to be an array of numbers", "None", "give an array"),
    ("net().fit(x for x in [x])", "TypeError", r"fit: batch 1: expected a batch \(x, y\) or \(x, y, sample_weight\)", "ndarray", ""),
    ("net().fit(x[:0], y[:0])", "ValueError", "fit: expected at least one sample", "none", "check how x was made"),
    ("net().fit(np.where(np.arange(64).reshape(8, 8) == 9, np.nan, x), y)", "ValueError",
     "fit: expected finite images", "NaN or infinity in image 0", "remove or repair"),
    ("net().fit(x * 255, y)", "UserWarning", "fit: expected pixels of about 0 to 1", r"values up to 25\d", "divide by 255"),
    # labels
    ("net().fit(x, y[:10])", "ShapeError", "fit: expected as many y as x", "10 and 12", "one y for each x"),
    ("net().fit(x)", "TypeError", "fit: expected x and y", "x alone", "give y too"),
    ("net().fit(x, y + 1)", "ValueError", "cross_entropy: expected labels from 0 to 2 for 3 outputs", "3",
     "number the classes from 0: y - 1"),
    ("net().fit(x, y - 1)", "ValueError", "cross_entropy: expected labels from 0 to 2", "-1", r"y \+ 1"),
    ("net().fit(x, y * 5)", "ValueError", "cross_entropy: expected labels from 0 to 2", "10",
     "give the last layer as many outputs as there are classes"),
    ("net().fit(x, y + 0.5)", "ValueError", "cross_entropy: expected integer labels", r"0\.5, 1\.5, 2\.5", "round them"),
    ("net().fit(x, ['cat', 'dog', 'cow'] * 4)", "ValueError", "cross_entropy: expected integer labels",
     "'cat', 'dog', 'cow'", r"np\.unique\(y, return_inverse=True\)\[1\]"),
    ("net().fit(x, to_categorical(y, 4))", "ShapeError", r"cross_entropy: expected y of shape \(N, 3\)", r"\(12, 4\)",
     "the last layer makes 3 numbers a sample"),
    ("net().fit(x, to_categorical(y) * 2)", "ValueError", "cross_entropy: expected rows of y that are one-hot",
     r"\[2\.0, 0\.0, 0\.0\]", r"use to_categorical\(labels\)"),
    ("net().fit(x, np.full((12, 3), np.nan))", "ValueError", "cross_entropy: expected finite y", "NaN", "remove or repair"),
    ("n = GWUNetwork([Flatten(), Dense(1, activation='sigmoid')]); n.compile('log_loss'); n.fit(x, y)", "ValueError",
     "log_loss: expected y from 0 to 1", "0 to 2", "loss='cross_entropy'"),
    ("n = GWUNetwork([Flatten(), Dense(2)]); n.compile('mse'); n.fit(x, y)", "ShapeError",
     r"mse: expected y of shape \(N, 2\)", r"\(12,\)", "y must have as many"),
    ("to_categorical([0, 1, 2], 2)", "ValueError", "to_categorical: expected labels from 0 to 1", "0 to 2",
     "raise num_classes"),
    ("to_categorical(['a', 'b'])", "ValueError", "to_categorical: expected integer labels", "'a', 'b'", r"np\.unique"),
    ("net().fit(x, np.sort(y), validation_split=0.3)", "UserWarning", "fit: expected every class in the validation split",
     "none of class 0, 1", "shuffle x and y together"),
    # losses that do not fit the last layer
    ("GWUNetwork([Flatten(8), Dense(1, activation='softmax')]).compile('cross_entropy')", "ShapeError",
     "cross_entropy: expected a network with one output for each class, at least two", r"\(1,\)",
     "activation='sigmoid' and loss='log_loss'"),
    ("GWUNetwork([Flatten(8), Dense(1, activation='sigmoid')]).compile('categorical_crossentropy')", "ShapeError",
     "expected a network with one output for each class", r"\(1,\)", "loss='log_loss'"),
    ("n = GWUNetwork([Conv2D(3, activation='softmax')]); n.compile('cross_entropy'); n.fit(x, y)", "ShapeError",
     r"cross_entropy: expected y of shape \(N, 6, 6\), a class for each pixel of the outputs \(6, 6, 3\)", r"\(12,\)",
     r"for one class an image add Flatten\(\) and Dense"),
    ("GWUNetwork([Flatten(8), Dense(3)]).compile('cross_entropy')", "ValueError",
     "cross_entropy: expected a network that ends with softmax", "no activation", "activation='softmax'"),
    ("GWUNetwork([Flatten(8), Dense(3, activation='softmax')]).compile('log_loss')", "ValueError",
     "log_loss: expected a network that ends with sigmoid", "'softmax'", "activation='sigmoid'"),
    ("GWUNetwork([Flatten(8), Dense(3, activation='softmax'), Softmax()]).compile('cross_entropy')", "ValueError",
     "cross_entropy: expected softmax once", r"it applied to its own output, in 1\.Dense and 2\.Softmax", "leave one out"),
    ("GWUNetwork([Flatten(8), Dense(3, activation='softmax'), Dropout(0.5), Softmax()]).compile('cross_entropy')", "ValueError",
     "cross_entropy: expected softmax once", r"applied to its own output, in 1\.Dense and 3\.Softmax", "leave one out"),
    ("GWUNetwork([Flatten(8), Dense(3, activation='softmax'), Reshape((3, 1)), Flatten(), Activation('softmax')]).compile("
     "'cross_entropy')", "ValueError",
     "cross_entropy: expected softmax once", r"applied to its own output, in 1\.Dense and 4\.Activation", "leave one out"),
    ("GWUNetwork([Conv2D(3, 8, activation='softmax', input_size=8), Flatten(), Activation(None), Softmax()]).compile('mse')",
     "ValueError", "mse: expected softmax once", r"applied to its own output, in 0\.Conv2D and 3\.Softmax", "leave one out"),
    ("GWUNetwork([Flatten(8), Dense(3), Residual([Dense(4), Dense(3, activation='softmax')]), Softmax()]).compile('cross_entropy')",
     "ValueError", "cross_entropy: expected softmax once", r"in 2\.Residual\.1\.Dense and 3\.Softmax", "leave one out"),
    ("GWUNetwork([Flatten(8), Concatenate([Dense(2, activation='softmax'), Dense(3)]), Softmax()]).compile('cross_entropy')",
     "ValueError", "cross_entropy: expected softmax once", r"in 1\.Concatenate\.0\.0\.Dense and 2\.Softmax", "leave one out"),
    ("GWUNetwork([Flatten(8), Dense(3), Softmax(), Residual([Softmax(), Dense(3)]), Softmax()]).compile('cross_entropy')",
     "ValueError", "cross_entropy: expected softmax once", r"in 2\.Softmax and 3\.Residual\.0\.Softmax", "leave one out"),
    ("GWUNetwork([Flatten(8), Dense(3, activation='softmax'), Softmax(), Dense(4, activation='softmax')]).compile('cross_entropy')",
     "ValueError", "cross_entropy: expected softmax once", r"in 1\.Dense and 2\.Softmax", "leave one out"),
    ("GWUNetwork([Flatten(8), Dense(3, activation='softmax'), Dropout(0.5)]).compile('cross_entropy')", "ValueError",
     "cross_entropy: expected a network that ends with softmax", r"it in 1\.Dense, before the end of 2\.Dropout",
     r"leave it out there and add Activation\('softmax'\) at the end"),
    ("GWUNetwork([Conv2D(3, 8, activation='softmax', input_size=8), Flatten()]).compile('cross_entropy')", "ValueError",
     "cross_entropy: expected a network that ends with softmax", r"it in 0\.Conv2D, before the end of 1\.Flatten",
     r"leave it out there and add Activation\('softmax'\) at the end"),
    ("GWUNetwork([Flatten(8), Concatenate([Dense(2, activation='softmax'), Dense(3)])]).compile('cross_entropy')",
     "ValueError", "cross_entropy: expected a network that ends with softmax",
     r"it in 1\.Concatenate\.0\.0\.Dense, before the end of 1\.Concatenate", "leave it out there and add"),
    ("GWUNetwork([Conv2D(3, input_size=8), GlobalAveragePooling2D()]).compile('cross_entropy')", "ValueError",
     "cross_entropy: expected a network that ends with softmax", r"1\.GlobalAveragePooling2D at the end, without it",
     r"add Activation\('softmax'\) at the end"),
    ("GWUNetwork([Flatten(8), Dense(3, activation='sigmoid'), Dropout(0.5)]).compile('log_loss')", "ValueError",
     "log_loss: expected a network that ends with sigmoid", r"it in 1\.Dense, before the end of 2\.Dropout",
     r"leave it out there and add Activation\('sigmoid'\) at the end"),
    ("n = net(); n.add(Dense(3)); n.fit(x, y)", "ValueError", "cross_entropy: expected a network that ends with softmax",
     "no activation", "activation='softmax'"),
    # numbers that run away
    ("n = net(lr=1e38); n.fit(x, y, 5, 4)", "FloatingPointError", r"fit: epoch 1, batch \d: expected finite numbers",
     r"begin at \d\.(Conv2D|Dense)", "lower lr or scale the images"),
    ("net().train_on_batch(x * np.nan, y)", "FloatingPointError", "train_on_batch: expected finite numbers",
     r"begin at 0\.Conv2D", "lower lr or scale the images"),
    # calls in the wrong order
    ("GWUNetwork([Dense(3)]).fit(x, y)", "NotBuiltError", "fit: expected a compiled network", "", r"call compile\(loss="),
    ("GWUNetwork([Dense(3)]).get_weights()", "NotBuiltError", "get_weights: expected a built network", "",
     "give input_size, or call build"),
    ("GWUNetwork().predict(x)", "NotBuiltError", "expected at least one layer", "none", r"call add\(layer\)"),
    ("n = net(); n.build((8, 8)); n.set_weights([np.zeros(3)])", "ShapeError", "set_weights: expected 2 arrays", "1",
     "what get_weights returns"),
    # names and numbers
    ("net().compile('crossentropy')", "ValueError", "compile: expected loss to be one of", "'crossentropy'",
     "did you mean 'cross_entropy'"),
    ("net().compile('mean_squared_error')", "ValueError", "compile: expected loss to be one of", "'mean_squared_error'",
     "did you mean 'mse'"),
    ("net().compile('adam', 'cross_entropy')", "ValueError", "compile: expected loss", "the optimizer 'adam'",
     "write optimizer='adam'"),
    ("net().compile('cross_entropy', 'adam')", "ValueError", "compile: expected lr", "the optimizer 'adam'",
     "write optimizer='adam'"),
    ("net().compile('cross_entropy', optimizer='adm')", "ValueError", "compile: expected optimizer to be one of", "'adm'",
     "did you mean 'adam'"),
    ("net().compile('cross_entropy', learning_rate=0.1)", "TypeError", "compile: expected the arguments loss, lr",
     "'learning_rate'", "did you mean 'lr'"),
    ("net().compile('cross_entropy', 0.1, Adam())", "ValueError", "compile: expected lr inside the optimizer", "lr=0.1",
     "leave it out"),
    ("net().compile('cross_entropy', metrics=['acc'])", "ValueError", "compile: expected metrics to be one of", "'acc'",
     "did you mean 'accuracy'"),
    ("net().compile()", "TypeError", "compile: expected the argument loss", "none", r"write compile\(loss="),
    ("Conv2D(4, 3, activation='rleu')", "ValueError", "Conv2D: expected activation to be one of", "'rleu'",
     "did you mean 'relu'"),
    ("Conv2D(4, 3, pading='same')", "TypeError", "Conv2D: expected the arguments", "'pading'", "did you mean 'padding'"),
    ("Conv2D(4, 3, 'relu')", "ValueError", "Conv2D: expected strides to be an integer", "'relu'",
     "write it by name, such as activation='relu'"),
    ("Conv2D(4, 'same')", "ValueError", "Conv2D: expected kernel_size to be an integer", "'same'", "padding='same'"),
    ("Conv2D('4')", "ValueError", "Conv2D: expected filters to be an integer of at least 1", "'4'",
     "write 4 without quotes"),
    ("Conv2D(out_channels=4)", "TypeError", "Conv2D: expected the arguments", "'out_channels'", "did you mean 'filters'"),
    ("Dense(10, 'relu')", "ValueError", "Dense: expected add_bias to be True or False", "'relu'", "activation='relu'"),
    ("Dense(10, use_bias=True)", "TypeError", "Dense: expected the arguments", "'use_bias'", "did you mean 'add_bias'"),
    ("Dense(units=10)", "TypeError", "Dense: expected the arguments", "'units'", "did you mean 'output_size'"),
    ("Dense(3, kernel_initializer='xavier')", "ValueError", "Dense: expected kernel_initializer", "'xavier'",
     "did you mean 'glorot_uniform'"),
    ("MaxPooling2D(2, 2, 'valid', 26)", "TypeError", "MaxPooling2D: expected 3 arguments without a name at most", "4",
     "write input_size="),
    ("GWUNetwork(data_format='channel_first')", "ValueError", "GWUNetwork: expected data_format", "'channel_first'",
     "did you mean 'channels_first'"),
    ("net().fit(x, y, epoch=3)", "TypeError", "fit: expected the arguments", "'epoch'", "did you mean 'epochs'"),
    ("net().fit(x, y, epochs='3')", "ValueError", "fit: expected epochs to be an integer", "'3'", "write 3 without quotes"),
    ("net().fit(x, y, validation_split=20)", "ValueError", "fit: expected validation_split from 0 to less than 1", "20",
     "0.2 holds out a fifth"),
    ("net().fit(x, y, validation_data=x)", "ValueError", r"fit: expected validation_data to be a pair \(x, y\)", "ndarray",
     r"write validation_data=\(x, y\)"),
    ("net().fit(x, y, callbacks=EarlyStopping())", "TypeError", "fit: expected a list of callbacks", "EarlyStopping",
     r"write callbacks=\["),
    ("net().fit(x, y, callbacks=[EarlyStopping])", "TypeError", "fit: expected a callback", "the class EarlyStopping",
     r"write EarlyStopping\("),
    ("net().fit(x, y, callbacks=[EarlyStopping()])", "ValueError", "EarlyStopping: expected monitor to be one of",
     "'val_loss'", "give fit validation_data or validation_split"),
    ("net().fit(x, y, callbacks=[EarlyStopping('acc')])", "ValueError", "EarlyStopping: expected monitor to be one of",
     "'acc'", "did you mean 'accuracy'"),
    ("net().fit(x, y, class_weight=[1, 2, 1])", "TypeError", "fit: expected class_weight to be a dict such as", r"\[1, 2, 1\]",
     ""),
    ("net().fit(x, y, class_weight={3: 1.0})", "ValueError", "fit: expected class_weight for classes from 0 to 2", "3",
     "leave it out"),
    ("net().fit(x, y, sample_weight=[1, 2])", "ShapeError", r"fit: expected sample_weight of shape \(12,\)", r"\(2,\)",
     "one for each sample"),
    # what is missing, or of another kind
    ("Dense()", "TypeError", "Dense: expected the argument output_size", "none", r"write Dense\(output_size="),
    ("Dropout()", "TypeError", "Dropout: expected the argument rate", "none", r"write Dropout\(rate="),
    ("Activation()", "TypeError", "Activation: expected the argument activation", "none", r"write Activation\(activation="),
    ("Concatenate(Dense(3), Dense(3))", "TypeError", "Concatenate: expected 1 argument without a name at most, branches", "2",
     "pass them as one list"),
    ("Reshape(7, 7, 16)", "TypeError", "Reshape: expected 1 argument without a name at most, shape", "3",
     "pass them as one list"),
    ("OneCycle(0.1)", "TypeError", "OneCycle: expected the argument total_steps", "none", "write OneCycle"),
    ("ModelCheckpoint()", "TypeError", "ModelCheckpoint: expected the argument filepath", "none", "write ModelCheckpoint"),
    ("CrossEntropy(0.1)", "TypeError", "CrossEntropy: expected no argument without a name", "1", "write label_smoothing="),
    ("GWUNetwork().add()", "TypeError", "add: expected the argument layer", "none", r"write add\(layer="),
    ("GWUNetwork().add(net())", "NotBuiltError", "add: expected a network that knows", "one that does not", "call build"),
    ("GWUNetwork([Flatten(), 'relu'])", "TypeError", "add: expected a layer", "'relu'", r"write .*Activation\('relu'\)"),
    ("GWUNetwork('relu')", "TypeError", "GWUNetwork: expected a list of layers", "'relu'", r"write GWUNetwork\(\["),
    ("Dense(10, activation=RELU)", "ValueError", "Dense: expected activation to be one of", "class", "did you mean 'relu'"),
    ("Dense(10, activation=RELU())", "ValueError", "Dense: expected activation to be one of", r"RELU\(\)", "did you mean 'relu'"),
    ("Dense(10, activation=np.tanh)", "ValueError", "Dense: expected activation to be one of", "ufunc", "did you mean 'tanh'"),
    ("Dense(10, activation='swish')", "ValueError", "Dense: expected activation to be one of", "'swish'", "did you mean 'silu'"),
    ("Dense(10, kernel_regularizer=0.01)", "ValueError", "Dense: expected kernel_regularizer to be a regularizer", "0.01",
     r"write L2\(0.01\)"),
    ("GWUNetwork(precision=np.float32)", "ValueError", "GWUNetwork: expected precision", "class", "did you mean 'float32'"),
    ("Conv2D(4, 3, padding='SAME')", "ValueError", "Conv2D: expected padding", "'SAME'", "did you mean 'same'"),
    ("Conv2D(in_channels=1, filters=4)", "TypeError", "Conv2D: expected the arguments", "'in_channels'",
     "did you mean 'input_size'"),
    ("PiecewiseConstant(100, [0.1, 0.01])", "TypeError", "PiecewiseConstant: expected boundaries to be a list of numbers", "100",
     ""),
    ("CSVLogger(3)", "TypeError", "CSVLogger: expected path to be a path", "3", "write it as a string"),
    ("ModelCheckpoint(3)", "TypeError", "ModelCheckpoint: expected filepath to be a path", "3", "write it as a string"),
    ("net().save(3)", "TypeError", "save: expected path to be a path", "3", "write it as a string"),
    ("GWUNetwork.load(3)", "TypeError", "load: expected path to be a path", "3", "write it as a string"),
    ("net().compile('cross_entropy', metrics=[lambda t, p: 0])", "ValueError",
     "compile: expected each metric to be a function with a name", "<lambda>", "define it with def"),
    ("net().compile('cross_entropy', metrics=[CrossEntropy])", "ValueError", "compile: expected metrics to be one of",
     "class", ""),
    ("net().compile(lambda t, p: (0, p))", "ValueError", "compile: expected loss to be a function with a name", "<lambda>",
     "define it with def"),
    ("net().compile('cross_entropy', metrics=3)", "TypeError", "compile: expected metrics to be a list of names", "3",
     r"write \['accuracy'\]"),
    ("net().fit(x, y, callbacks='early')", "TypeError", "fit: expected a list of callbacks", "'early'", r"write callbacks=\["),
    ("net().fit(x, y, callbacks=[lambda: True])", "TypeError", "fit: expected a callback that takes the epoch's record", "lambda",
     "write lambda record"),
    ("net().fit(x, y, class_weight={0: 'a'})", "TypeError", "fit: expected class_weight to give numbers", "'a' for class 0", ""),
    ("net().fit(x, y, sample_weight=['a'] * 12)", "TypeError", "fit: expected sample_weight to be a number for each sample",
     "something else in a list", "give an array"),
    ("net().fit([], [])", "ValueError", "fit: expected at least one sample", "none", "check how x was made"),
    ("net().fit(x.astype(object), y)", "TypeError", "fit: expected x to be an array of numbers", "objects such as float",
     r"x\.astype\(float\)"),
    ("net().fit(x, y.astype(object))", "ValueError", "cross_entropy: expected integer labels", "0, 1, 2 as objects",
     r"y\.astype\(float\)"),
    ("net().fit(x, [[0], [1, 2]] * 6)", "ShapeError", "cross_entropy: expected rows of y of one length", "several",
     "give as many numbers for each sample"),
    ("net().fit(x, 'labels.csv')", "ShapeError", "cross_entropy: expected y of shape", "the text 'labels.csv'", "give an array"),
    ("net().fit(Endless(), y)", "TypeError", "fit: expected x to be an array of numbers", "Endless, which returns items by number",
     "leave y out"),
    ("net().fit(x, Endless())", "TypeError", "cross_entropy: expected y to be an array", "Endless", "make an array of its items"),
    ("net().fit(x, y).to_csv(3)", "TypeError", "History.to_csv: expected path to be a path", "3", "write it as a string"),
    ("net().fit(x, {'label': y})", "ShapeError", "cross_entropy: expected y of shape", "dict", "give an array"),
    ("n = Normalization(); n.adapt(['a.png'])", "TypeError", "Normalization.adapt: expected x to be an array of numbers", "texts",
     ""),
    ("n = GWUNetwork([Flatten(), Dense(1, True, 'softmax')]); n.compile('mse'); n.fit(x, y)", "ValueError",
     r"1\.Dense: expected softmax over at least two outputs", "one, which is always 1",
     "give it activation='sigmoid'"),
    ("n = GWUNetwork([Flatten(), Dense(1), Softmax()]); n.compile('mae'); n.build((8, 8))", "ValueError",
     r"2\.Softmax: expected softmax over at least two outputs", "one", "sigmoid"),
    ("Normalization().adapt(x[:0])", "ShapeError", "Normalization.adapt: expected x with at least one sample",
     r"\(0, 8, 8\)", "check how x was made"),
    ("net().fit((x, y))", "TypeError", "fit: expected y beside x", r"both in one tuple", r"write fit\(x, y\)"),
    ("net().fit(np.array([[1.0, 'a']] * 12, object), y)", "TypeError", "fit: expected x to be an array of numbers",
     "objects such as str", "leave them out"),
    ("net().fit(x, y, class_weight={'0': 2})", "ValueError", "fit: expected class_weight for classes from 0 to 2", "'0'",
     "write 0 without quotes"),
    ("Dense(3, 'yes')", "ValueError", "Dense: expected add_bias to be True or False", "'yes'$", ""),
    ("Conv2D(4, input_size=(8, 8, 3, 1))", "ValueError", r"Conv2D: expected input_size to be an integer, \(H, W\) or three",
     r"\(8, 8, 3, 1\)", ""),
    ("Dense(3, activation=RELUActivation())", "ValueError", "Dense: expected activation to be one of", "RELUActivation object",
     "did you mean 'relu'"),
    ("LeakyReLU(alpha=0.1)", "TypeError", "LeakyReLU: expected the arguments negative_slope", "'alpha'",
     "did you mean 'negative_slope'"),
    ("OneCycle(max_lr=0.1, total_steps=9)", "TypeError", "OneCycle: expected the arguments max_learning_rate", "'max_lr'",
     "did you mean 'max_learning_rate'"),
    ("ExponentialDecay(lr=0.1)", "TypeError", "ExponentialDecay: expected the arguments initial_learning_rate", "'lr'",
     "did you mean 'initial_learning_rate'"),
    ("Dropout(p=0.5)", "TypeError", "Dropout: expected the arguments rate", "'p'", "did you mean 'rate'"),
    ("GWUNetwork([Flatten()], 'channels_first')", "TypeError", "GWUNetwork: expected 1 argument without a name at most",
     "2", "write data_format="),
    ("SGD('0.1')", "ValueError", "SGD: expected lr to be a positive number", "'0.1'", "write 0.1 without quotes"),
    ("Dropout('0.5')", "ValueError", "Dropout: expected rate to be a number from 0 to less than 1", "'0.5'",
     "write 0.5 without quotes"),
    ("EarlyStopping(min_delta='1e-3')", "ValueError", "EarlyStopping: expected min_delta to be a number of at least 0",
     "'1e-3'", "write 1e-3 without quotes"),
    ("models.lenet5(clases=3)", "TypeError", "lenet5: expected the arguments classes, preprocessing, data_format", "'clases'",
     "did you mean 'classes'"),
    ("models.vgg_small(0)", "ValueError", "vgg_small: expected classes to be an integer of at least 1", "0", ""),
    ("models.resnet18_small(width=0)", "ValueError", "resnet18_small: expected width to be an integer of at least 1", "0", ""),
    ("models.mobilenet_small(blocks=[64])", "TypeError", r"mobilenet_small: expected blocks of \(filters, strides\)", "64", ""),
    ("GWUNetwork.load('missing')", "FileNotFoundError", "load 'missing': expected a file", "none", "check the path"),
    ("net().fit(x, y).to_csv('missing/log.csv')", "FileNotFoundError", "History.to_csv: expected a folder", "none",
     "make it first"),
    ("net().fit(x, y, callbacks=[Keras()])", "TypeError",
     r"fit: expected a callback whose on_epoch_end can be called with the epoch's record", r"on_epoch_end\(epoch, logs\)",
     r"write def on_epoch_end\(self, record\)"),
    ("net().fit(x, y, callbacks=[Batchwise()])", "TypeError",
     "fit: expected a callback with any of set_network, on_train_begin, on_epoch_begin, on_batch_begin, on_batch_end",
     "on_train_batch_end, which is never called", "did you mean 'on_batch_end'"),
    ("net().fit(x, y, callbacks=[TwoArguments()])", "TypeError",
     "fit: expected a callback whose on_batch_end can be called with the batch's record",
     r"on_batch_end\(batch, logs\)", r"write def on_batch_end\(self, record\)"),
    ("net().fit(x, y, callbacks=[Mistyped()])", "TypeError", "fit: expected a callback with any of set_network",
     "on_epoch_ends, which is never called", "did you mean 'on_epoch_end'"),
    ("models.lenet5(preprocessing=Rescaling(1 / 255))", "TypeError", "models: expected preprocessing to be a list of layers",
     "Rescaling", r"write preprocessing=\["),
    ("net().predict(np.zeros((2, 1, 8, 8)))", "UserWarning", r"GWUNetwork: expected images \(N, H, W, C\)",
     r"samples \(1, 8, 8\)", "write GWUNetwork\\(data_format='channels_first'\\)"),
    ("GWUNetwork([Flatten()], data_format='channels_first').predict(np.zeros((2, 8, 8, 3)))", "UserWarning",
     r"GWUNetwork: expected images \(N, C, H, W\)", r"samples \(8, 8, 3\)", "write GWUNetwork\\(data_format='channels_last'\\)"),
    # names of arguments that are not close to any
    ("Conv2D(3, kernel_constraint=1)", "TypeError", "Conv2D: expected the arguments filters", "'kernel_constraint'$", ""),
    ("Dense(3, kernel_constraint=1)", "TypeError", "Dense: expected the arguments output_size", "'kernel_constraint'$", ""),
    ("Dense(3, bias_regularizer='l2')", "TypeError", "Dense: expected the arguments output_size", "'bias_regularizer'$", ""),
    ("LambdaCallback(on_epoch_ends=print)", "TypeError", "LambdaCallback: expected the arguments", "'on_epoch_ends'",
     "did you mean 'on_epoch_end'"),
    ("ModelCheckpoint('a', save_weights_only=True)", "TypeError", "ModelCheckpoint: expected the arguments",
     "'save_weights_only'$", ""),
    ("net().fit(x, y, nb_epoch=3)", "TypeError", "fit: expected the arguments x, y", "'nb_epoch'", "did you mean 'epochs'"),
    ("net().summary(line_length=80)", "TypeError", "summary: expected the arguments print_fn", "'line_length'$", ""),
    ("Dropout(0.1, seed=1)", "TypeError", "Dropout: expected the arguments rate", "'seed'", "give it to GWUNetwork"),
    ("Conv2D(3, data_format='channels_first')", "TypeError", "Conv2D: expected the arguments", "'data_format'",
     "give it to GWUNetwork"),
    ("Adam(clipnorm=1)", "TypeError", "Adam: expected the arguments lr", "'clipnorm'", "give global_clipnorm to compile"),
    # names that other libraries export
    ("from gwucnn import Sequential", "ImportError", "gwucnn: expected a public name", "'Sequential'",
     r"use GWUNetwork\(\[...\]\)"),
    ("from gwucnn import Model", "ImportError", "gwucnn: expected a public name", "'Model'", r"use GWUNetwork\(\[...\]\)"),
    ("from gwucnn import MaxPool2D", "ImportError", "gwucnn: expected a public name", "'MaxPool2D'", "use MaxPooling2D"),
    ("from gwucnn.layers import Conv1D", "ImportError", "gwucnn.layers: expected a public name", "'Conv1D'",
     "use Conv2D with kernel_size="),
    ("from gwucnn import conv2d", "ImportError", "gwucnn: expected a public name", "'conv2d'", "did you mean 'Conv2D'"),
    ("from gwucnn import EarlyStoping", "ImportError", "gwucnn: expected a public name", "'EarlyStoping'",
     "did you mean 'EarlyStopping'"),
    ("import gwucnn; gwucnn.Sequential", "AttributeError", "gwucnn: expected a public name", "'Sequential'", "use GWUNetwork"),
    # metrics and pictures
    ("confusion_matrix(['a', 'b'], ['a', 'b'])", "ValueError", "confusion_matrix: expected labels or rows of numbers",
     "'a', 'b'", r"np\.unique"),
    ("accuracy(y, None)", "ShapeError", r"accuracy: expected labels \(N,\) or rows \(N, K\)", "NoneType", ""),
    ("confusion_matrix(y, y, labels=['a', 'b', 'c'])", "TypeError", "confusion_matrix: expected the arguments y_true",
     "'labels'", "plotting.confusion_matrix takes"),
    ("plotting.confusion_matrix(['a', 'b'], ['a', 'b'])", "ValueError",
     "confusion_matrix: expected labels or rows of numbers", "'a', 'b'", r"np\.unique"),
    ("plotting.confusion_matrix(y, y, labels='abc')", "TypeError", "confusion_matrix: expected labels to be a list of names",
     "'abc'", ""),
    ("plotting.filters(net())", "ValueError", "filters: expected a layer with filters in a built network, such as "
     r"network\.layers\[0\]", "a GWUNetwork", ""),
    ("plotting.feature_maps(net())", "TypeError", "feature_maps: expected the argument x", "none", "write feature_maps"),
    ("plotting.feature_maps(x[0], net())", "TypeError", "feature_maps: expected a network first", "ndarray",
     r"write feature_maps\(network"),
    ("n = net(); n.build((8, 8)); plotting.feature_maps(n, x[:5])", "ShapeError", "feature_maps: expected one image", "5",
     r"pick one, such as x\[0\]"),
    ("plotting.saliency(net(), 'digit.png')", "TypeError", "saliency: expected x to be an array of numbers", "'digit.png'",
     "read the files"),
    ("plotting.learning_curves({'loss': 3})", "ValueError", "learning_curves: expected a list for each name", "3$", ""),
    ("plotting.learning_curves({'loss': [1, 2], 'val_loss': [1]})", "ValueError",
     "learning_curves: expected a list for each name, of one number per epoch", "1 of 'val_loss' beside 2 of 'loss'", ""),
    ("plotting.sliding_window(x[0], net())", "TypeError", "sliding_window: expected kernel to be a Conv2D or an array",
     "a GWUNetwork", "pick one of its layers"),
    ("plotting.augmented([RandomFlip('horizontal'), Flatten()], x)", "ShapeError",
     "augmented: expected layers that make images", r"\(64,\) from 1.Flatten", ""),
    # images in an array of objects
    ("net().fit(x, objects(*x))", "ValueError", "cross_entropy: expected integer labels", r"an array \(8, 8\), an array",
     "number the classes from 0"),
    ("net().predict(objects(x[0], x[1, :5]))", "ShapeError", "predict: expected samples of one size in x",
     r"\(8, 8\) and \(5, 8\)", "resize"),
    ("net().fit(objects(x[0], x[1, :5]), [0, 1])", "ShapeError", "fit: expected samples of one size in x",
     r"\(8, 8\) and \(5, 8\)", "resize"),
    ("net().predict(objects(x[0], x[1]))", "TypeError", "predict: expected x to be one array", "an array of arrays",
     r"write np\.stack\(x\)"),
]  # fmt: skip


@pytest.mark.parametrize(("program", "kind", "expected", "got", "fix"), MISTAKES, ids=[case[0] for case in MISTAKES])
def test_a_beginners_mistake_is_answered(program, kind, expected, got, fix):
    names = {name: getattr(gwucnn, name) for name in gwucnn.__all__} | {"net": net, "np": np}
    names |= {
        "models": gwucnn.models,
        "plotting": gwucnn.plotting,
        "objects": objects,
        **{kind.__name__: kind for kind in (Endless, Keras, Batchwise, TwoArguments, Mistyped)},
        "x": np.random.default_rng(0).random((12, 8, 8)),
        "y": np.arange(12) % 3,
    }
    with warnings.catch_warnings(), np.errstate(all="ignore"), pytest.raises(Exception) as caught:
        warnings.simplefilter("error")
        exec(program, names)
    assert type(caught.value).__name__ == kind
    text = str(caught.value)
    assert re.search(rf"^.*{expected}.*?(, got |, but |; ).*{got}.*{fix}", text), text
    # One line of plain words: no code of a dtype, no text of numpy's, no name from inside the package.
    assert len(text) < 330
    for odd in ("\n", "<U", "inhomogeneous", "NetworkBase", "InputValidation", "__init__"):
        assert odd not in text


def test_names_that_do_not_exist():
    """Asking is no mistake, modules of the package are found, and without a suggestion Python's own message stays."""
    assert not hasattr(gwucnn, "Sequential") and not hasattr(gwucnn.layers, "Sequential")
    from gwucnn import layers, optimizers  # noqa: F401

    with pytest.raises(ImportError, match="^cannot import name 'Xyzzy' from 'gwucnn'"):
        from gwucnn import Xyzzy  # noqa: F401
