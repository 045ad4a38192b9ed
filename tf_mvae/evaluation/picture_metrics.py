"""Metrics of generated pictures against true ones: PSNR and SSIM, F1 and IoU."""

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

        -10 log10(mean (predicted - true)^2)

    Args:
        predicted: `[batch, height, width, channels]` in [0, 1].
        true: The true pictures, of the same shape and range.

    Example:
    ```python
    from tf_mvae.evaluation.picture_metrics import psnr

    psnr(np.full([1, 8, 8, 1], 0.6), np.full([1, 8, 8, 1], 0.5))  # 20 dB
    ```
    """
    return tf.image.psnr(_float(predicted), _float(true), max_val=1.0).numpy()


def ssim(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Returns the structural similarity of each picture, at most 1, `[batch]`.

    Wang et al., *Image Quality Assessment* (IEEE Transactions on Image Processing, 2004), computed
    by `tf.image.ssim` with its Gaussian window of 11 pixels.

    Args:
        predicted: `[batch, height, width, channels]` in [0, 1], at least 11 pixels wide and high.
        true: The true pictures, of the same shape and range.
    """
    return tf.image.ssim(_float(predicted), _float(true), max_val=1.0).numpy()


def counts(predicted: np.ndarray, true: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Counts true positive, false positive and false negative pixels at each threshold.

    Args:
        predicted: `[batch, height, width, 1]`; a pixel is positive if it is at least the threshold.
        true: True pictures of the same shape; a pixel is positive above 0.5.
        thresholds: Increasing numbers, `[threshold]`.

    Returns:
        True positives, false positives and false negatives, `[batch, threshold, 3]`.
    """
    on = _flat(true) > 0.5
    # Count pixels by the number of thresholds that they reach, instead of once per threshold.
    place = np.searchsorted(thresholds, _flat(predicted), side="right")
    rows = np.arange(len(on))[:, np.newaxis] * (len(thresholds) + 1)
    bins = (rows + place).ravel()
    size = len(on) * (len(thresholds) + 1)
    positive, negative = (
        np.bincount(bins, weights, minlength=size).reshape(len(on), -1)
        for weights in (on.ravel().astype(float), (~on).ravel().astype(float))
    )
    # A pixel in bin k is positive at the first k thresholds: sum over bins from the end.
    right, wrong = (
        np.cumsum(found[:, ::-1], axis=1)[:, ::-1][:, 1:] for found in (positive, negative)
    )
    missed = on.sum(axis=1, keepdims=True) - right
    return np.stack([right, wrong, missed], axis=-1)


def tolerant_counts(predicted: np.ndarray, true: np.ndarray, threshold: float) -> np.ndarray:
    """Counts positive pixels, and those with a counterpart at most one pixel away.

    Args:
        predicted: `[batch, height, width, 1]`; a pixel is positive if it is at least the threshold.
        true: True pictures of the same shape; a pixel is positive above 0.5.
        threshold: The threshold.

    Returns:
        The numbers of predicted positives with a true one nearby, predicted positives, true
        positives with a predicted one nearby, and true positives: `[batch, 4]`.
    """
    on, true = (np.asarray(a, np.float32) for a in (predicted >= threshold, true > 0.5))
    near_on, near_true = (
        tf.nn.max_pool2d(tf.constant(a), 3, 1, "SAME").numpy() for a in (on, true)
    )
    found = (on * near_true, on, true * near_on, true)
    return np.stack([_flat(a).sum(axis=1) for a in found], axis=1)


def f1(sums: np.ndarray) -> np.ndarray:
    """Returns `2 tp / (2 tp + fp + fn)`, or 0 without any positive, `[...]`.

    Args:
        sums: Numbers of `tp`, `fp` and `fn` (`counts`), `[..., 3]`.
    """
    right, wrong, missed = np.moveaxis(sums, -1, 0)
    return _divided(2 * right, 2 * right + wrong + missed)


def iou(sums: np.ndarray) -> np.ndarray:
    """Returns `tp / (tp + fp + fn)`, or 0 without any positive, `[...]`.

    Args:
        sums: Numbers of `tp`, `fp` and `fn` (`counts`), `[..., 3]`.
    """
    right, wrong, missed = np.moveaxis(sums, -1, 0)
    return _divided(right, right + wrong + missed)


def tolerant_f1(sums: np.ndarray) -> np.ndarray:
    """Returns the harmonic mean of precision and recall with one pixel of tolerance, `[...]`.

    Args:
        sums: Numbers of `tolerant_counts`, `[..., 4]`.
    """
    precise, predicted, recalled, true = np.moveaxis(sums, -1, 0)
    precision, recall = _divided(precise, predicted), _divided(recalled, true)
    return _divided(2 * precision * recall, precision + recall)


def best_threshold(rows: np.ndarray) -> int:
    """Returns the index of the threshold with the best F1 over all pictures.

    Args:
        rows: The result of `counts`, `[batch, threshold, 3]`.
    """
    return int(np.argmax(f1(rows.sum(axis=0))))


def _divided(number: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Returns `number / by`, 0 where `by` is 0."""
    return np.divide(number, by, out=np.zeros_like(np.asarray(number, float)), where=by > 0)


def _flat(pictures: np.ndarray) -> np.ndarray:
    pictures = np.asarray(pictures)
    return pictures.reshape(len(pictures), -1)


def _float(pictures: np.ndarray) -> tf.Tensor:
    return tf.constant(np.asarray(pictures, np.float32))
