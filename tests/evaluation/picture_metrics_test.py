"""Metrics of pictures against scikit-image, scikit-learn and loops."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import f1_score, jaccard_score

from tf_mvae.evaluation import picture_metrics as metrics
from tf_mvae.evaluation.statistics import ratio_and_error

RNG = np.random.default_rng(0)
PREDICTED = RNG.random([5, 16, 20, 1]).astype(np.float32)
TRUE = (RNG.random([5, 16, 20, 1]) < 0.2).astype(np.float32)


def test_psnr_and_ssim_are_scikit_images():
    true = RNG.random([4, 24, 20, 3]).astype(np.float32)
    near = np.clip(true + RNG.normal(0, 0.1, true.shape), 0, 1).astype(np.float32)
    psnr, ssim = metrics.psnr(near, true), metrics.ssim(near, true)
    for row in range(4):
        want = peak_signal_noise_ratio(true[row], near[row], data_range=1.0)
        assert psnr[row] == pytest.approx(want, abs=1e-3)
        # TensorFlow takes windows that lie inside the picture alone, and so does the crop.
        _, full = structural_similarity(
            true[row], near[row], data_range=1.0, channel_axis=-1, gaussian_weights=True,
            sigma=1.5, use_sample_covariance=False, full=True,
        )  # fmt: skip
        assert ssim[row] == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-3)


@pytest.mark.parametrize("threshold", [0.0, 0.07, 0.5, 0.93, 1.0])
def test_f1_and_iou_are_scikit_learns(threshold):
    predicted = PREDICTED.copy()
    predicted[0, 0, :3, 0] = [0.0, threshold, 1.0]  # from the threshold a pixel is on
    rows = metrics.counts(predicted, TRUE, np.array([threshold]))[:, 0]
    on, true = (predicted >= threshold).ravel(), TRUE.ravel() > 0
    assert metrics.f1(rows.sum(0)) == pytest.approx(f1_score(true, on, zero_division=0))
    assert metrics.iou(rows.sum(0)) == pytest.approx(jaccard_score(true, on, zero_division=0))
    single = f1_score(TRUE[2].ravel(), (predicted[2] >= threshold).ravel(), zero_division=0)
    assert metrics.f1(rows)[2] == pytest.approx(single)


def test_many_thresholds_at_once_are_each_by_itself_and_the_best_is_found():
    rows = metrics.counts(PREDICTED + 0.3 * TRUE, TRUE, metrics.THRESHOLDS)
    assert rows.shape == (5, 101, 3)
    for place in (0, 1, 40, 99, 100):
        one = metrics.counts(PREDICTED + 0.3 * TRUE, TRUE, metrics.THRESHOLDS[[place]])[:, 0]
        np.testing.assert_array_equal(rows[:, place], one)
    scores = [
        f1_score(TRUE.ravel(), ((PREDICTED + 0.3 * TRUE) >= t).ravel()) for t in metrics.THRESHOLDS
    ]
    assert metrics.best_threshold(rows) == int(np.argmax(scores)) not in (0, 100)


def test_a_pixel_beside_counts_within_a_tolerance():
    true = np.zeros([1, 9, 9, 1])
    true[0, 2:7, 4] = 1
    beside, far = np.roll(true, 1, axis=2), np.roll(true, 2, axis=2)
    for predicted, want in ((true, 1.0), (beside, 1.0), (far, 0.0)):
        assert metrics.tolerant_f1(metrics.tolerant_counts(predicted, true, 0.5).sum(0)) == want
    everything = metrics.tolerant_counts(np.ones_like(true), true, 0.5).sum(0)
    precision, recall = 7 * 3 / 81, 1.0
    want = 2 * precision * recall / (precision + recall)
    assert metrics.tolerant_f1(everything) == pytest.approx(want)
    assert metrics.tolerant_f1(metrics.tolerant_counts(np.zeros_like(true), true, 0.5)) == 0


def test_the_jackknife_of_f1_agrees_with_resampling():
    rows = metrics.counts(
        RNG.random([60, 8, 8, 1]) + TRUE[:1, :8, :8], RNG.random([60, 8, 8, 1]) < 0.3,
        np.array([0.6]),
    )[:, 0]  # fmt: skip
    drawn = [metrics.f1(rows[RNG.integers(0, 60, 60)].sum(0)) for _ in range(2000)]
    _, error = ratio_and_error(metrics.f1, rows)
    assert error == pytest.approx(np.std(drawn), rel=0.15)
