"""How near generated pictures are to the true ones: PSNR and SSIM, or F1 and IoU."""

import numpy as np
import tensorflow as tf

__all__ = [
    "THRESHOLDS",
    "best_threshold",
    "counts",
    "f1",
    "iou",
    "psnr",
    "ssim",
    "tolerant_counts",
    "tolerant_f1",
]

THRESHOLDS = np.arange(0, 101) / 100


def psnr(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Returns the peak signal-to-noise ratio of each picture, in dB, `[batch]`.

    Args:
        predicted: `[batch, height, width, channels]` in [0, 1].
        true: The same.
    """
    return tf.image.psnr(_float(predicted), _float(true), max_val=1.0).numpy()


def ssim(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Returns the structural similarity of each picture, `[batch]`; see `psnr`.

    Wang et al., *Image Quality Assessment* (IEEE Transactions on Image Processing, 2004),
    with a Gaussian window of 11 pixels, as TensorFlow has it.
    """
    return tf.image.ssim(_float(predicted), _float(true), max_val=1.0).numpy()


def counts(predicted: np.ndarray, true: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Counts pixels that are right and wrong at each threshold.

    Args:
        predicted: `[batch, height, width, 1]`; a pixel is on from the threshold.
        true: The same, on above 0.5.
        thresholds: `[threshold]`.

    Returns:
        True positives, false positives and false negatives, `[batch, threshold, 3]`.
    """
    on = _flat(true) > 0.5
    # One sweep over sorted values instead of one pass a threshold.
    place = np.searchsorted(thresholds, _flat(predicted), side="right")
    rows = np.arange(len(on))[:, np.newaxis] * (len(thresholds) + 1)
    bins = (rows + place).ravel()
    size = len(on) * (len(thresholds) + 1)
    positive, negative = (
        np.bincount(bins, weights, minlength=size).reshape(len(on), -1)
        for weights in (on.ravel().astype(float), (~on).ravel().astype(float))
    )
    # A value in bin k is on at the first k thresholds.
    right, wrong = (
        np.cumsum(found[:, ::-1], axis=1)[:, ::-1][:, 1:] for found in (positive, negative)
    )
    missed = on.sum(axis=1, keepdims=True) - right
    return np.stack([right, wrong, missed], axis=-1)


def tolerant_counts(predicted: np.ndarray, true: np.ndarray, threshold: float) -> np.ndarray:
    """Counts pixels that are on, and those of them with a counterpart at most a pixel away.

    Args:
        predicted: `[batch, height, width, 1]`; a pixel is on from the threshold.
        true: The same, on above 0.5.
        threshold: One number.

    Returns:
        Predicted pixels with a true one near, predicted pixels, true pixels with a
        predicted one near, true pixels: `[batch, 4]`.
    """
    on, true = (np.asarray(a, np.float32) for a in (predicted >= threshold, true > 0.5))
    near_on, near_true = (
        tf.nn.max_pool2d(tf.constant(a), 3, 1, "SAME").numpy() for a in (on, true)
    )
    found = (on * near_true, on, true * near_on, true)
    return np.stack([_flat(a).sum(axis=1) for a in found], axis=1)


def f1(sums: np.ndarray) -> np.ndarray:
    """Returns `2 tp / (2 tp + fp + fn)`, 0 where nothing is on; `[..., 3]` to `[...]`."""
    right, wrong, missed = np.moveaxis(sums, -1, 0)
    return _divided(2 * right, 2 * right + wrong + missed)


def iou(sums: np.ndarray) -> np.ndarray:
    """Returns `tp / (tp + fp + fn)`, 0 where nothing is on; `[..., 3]` to `[...]`."""
    right, wrong, missed = np.moveaxis(sums, -1, 0)
    return _divided(right, right + wrong + missed)


def tolerant_f1(sums: np.ndarray) -> np.ndarray:
    """Returns the harmonic mean of precision and recall of `tolerant_counts`, `[...]`."""
    precise, predicted, recalled, true = np.moveaxis(sums, -1, 0)
    precision, recall = _divided(precise, predicted), _divided(recalled, true)
    return _divided(2 * precision * recall, precision + recall)


def best_threshold(rows: np.ndarray) -> int:
    """Returns the place of the threshold with the best F1 over all pictures.

    Args:
        rows: `counts`, `[batch, threshold, 3]`.
    """
    return int(np.argmax(f1(rows.sum(axis=0))))


def _divided(number: np.ndarray, by: np.ndarray) -> np.ndarray:
    return np.divide(number, by, out=np.zeros_like(np.asarray(number, float)), where=by > 0)


def _flat(pictures: np.ndarray) -> np.ndarray:
    pictures = np.asarray(pictures)
    return pictures.reshape(len(pictures), -1)


def _float(pictures: np.ndarray) -> tf.Tensor:
    return tf.constant(np.asarray(pictures, np.float32))
