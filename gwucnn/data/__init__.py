"""What goes into a network: arrays and streams of batches, checked, and gathered into buffers batch by batch.

- `checks.py`: images, targets and weights that users pass
- `batches.py`: `Batches` gathers samples into buffers; a `Run` is a sequence of batches of one size
- `joint.py`: the same for networks with several inputs or outputs
- `statistics.py`: the range of the inputs of training, against which later inputs are compared
- `streams.py`: batches from an object of the user's, which may be larger than memory
- `iterables.py`: batches from a generator, a DataLoader or another iterable, read ahead in a thread
- `mixers.py`: mixup and cutmix of a batch; `mixed.py` applies them to all batches of any data
"""

from gwucnn.data.batches import Batch, Batches, Run, sample_shape
from gwucnn.data.checks import (
    as_images,
    batch_weights,
    check_finite,
    check_targets_fit,
    data_to_validate,
    refuse_beside_stream,
    sample_weights,
    split_off,
    warn_missing,
    warn_unscaled,
    with_targets,
)
from gwucnn.data.iterables import IterableStream
from gwucnn.data.joint import JointBatches
from gwucnn.data.mixed import MixedData, check_mixer
from gwucnn.data.mixers import CutMix, Mixer, MixUp
from gwucnn.data.statistics import InputStatistics, difference
from gwucnn.data.streams import Admit, Stream, check_steps, inputs_of, is_indexed, is_stream

__all__ = [
    "Admit",
    "Batch",
    "Batches",
    "CutMix",
    "InputStatistics",
    "IterableStream",
    "JointBatches",
    "MixUp",
    "MixedData",
    "Mixer",
    "Run",
    "Stream",
    "as_images",
    "batch_weights",
    "check_finite",
    "check_mixer",
    "check_steps",
    "check_targets_fit",
    "data_to_validate",
    "difference",
    "inputs_of",
    "is_indexed",
    "is_stream",
    "refuse_beside_stream",
    "sample_shape",
    "sample_weights",
    "split_off",
    "warn_missing",
    "warn_unscaled",
    "with_targets",
]
