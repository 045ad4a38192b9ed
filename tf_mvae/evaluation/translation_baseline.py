"""A supervised baseline of translation: the same encoders and decoders, trained on pairs."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mvae.data.pairing import keep_paired
from tf_mvae.data.pipeline import Split
from tf_mvae.errors import UserError
from tf_mvae.evaluation.registry import analysis
from tf_mvae.evaluation.run import Run
from tf_mvae.evaluation.settings import Settings
from tf_mvae.evaluation.translation import direction_scores, languages_of, write_lines
from tf_mvae.layers.dropout import layer_seeds
from tf_mvae.modality import Modality
from tf_mvae.ops import random

__all__ = ["SequenceToSequence", "analyze", "train_on_pairs"]

# Steps between two validations, and validations without a lower loss before the training stops.
_ROUND = 100
_PATIENCE = 10


class SequenceToSequence(keras.Model):
    """A source's encoder and a target's decoder, trained to translate.

        loss = -log p(target | decoder(code(encoder(source))))

    (Cho et al., EMNLP 2014: the last states of a GRU encoder are the code, from which a GRU
    decodes.) The code is the output of a linear layer, as large as the latent of the model to
    compare with.
    """

    def __init__(self, source: Modality, target: Modality, latent_dim: int, seed: int = 0):
        """Makes a model of the modalities' networks; pass modalities that are not used elsewhere.

        Args:
            source: The modality to translate from.
            target: The modality to translate to.
            latent_dim: The size of the code.
            seed: The seed of word dropout.
        """
        super().__init__()
        self.encoder, self.decoder = source.encoder, target.decoder
        self.network = target.likelihood.network
        self.likelihood, self.seed = target.likelihood, seed
        self.code = keras.layers.Dense(latent_dim)
        self.mean_loss = keras.metrics.Mean("loss")
        self.likelihood.build(self.parameters(tf.zeros([1, *source.likelihood.event_shape])))
        self.built = True

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The mean loss of an epoch's examples, which Keras resets and reports."""
        return [self.mean_loss]

    def parameters(self, source: tf.Tensor) -> tf.Tensor:
        """Returns the target likelihood's parameters given the source's ids, `[batch, size]`.

        Args:
            source: Ids, `[batch, length]`.
        """
        code = self.code(self.encoder(tf.cast(source, tf.int32)))
        return tf.cast(self.decoder(code), tf.float32)

    @tf.autograph.experimental.do_not_convert  # there is nothing to convert, and converting is slow
    def call(self, source: tf.Tensor) -> tf.Tensor:
        """Translates greedily, from ids `[batch, length]` to ids `[batch, length]`."""
        return self.likelihood.expected_value(self.parameters(source))

    @tf.autograph.experimental.do_not_convert
    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Takes one step of the optimizer; Keras calls it."""
        seed = random.fold_in(tf.constant([self.seed, 2]), self.optimizer.iterations.value)
        with tf.GradientTape() as tape, layer_seeds(seed):
            loss = self._loss(*data, training=True)
        gradients = tape.gradient(loss, [v.value for v in self.trainable_variables])
        # A sparse gradient may have several rows for one word, which the optimizer would square
        # (and clip) one by one instead of their sum.
        dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
        self.optimizer.apply(dense, self.trainable_variables)
        return self._told(loss, data)

    @tf.autograph.experimental.do_not_convert
    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Evaluates one batch; Keras calls it."""
        return self._told(self._loss(*data, training=False), data)

    def _told(self, loss: tf.Tensor, data: Any) -> dict[str, tf.Tensor]:
        self.mean_loss.update_state(loss, sample_weight=tf.shape(data[0])[0])
        return {"loss": self.mean_loss.result()}

    def _loss(self, source: tf.Tensor, target: tf.Tensor, training: bool) -> tf.Tensor:
        parameters = self.parameters(source)
        value = self.likelihood.prepare(target)
        return -tf.reduce_mean(self.likelihood.log_prob(parameters, value, training=training))


@analysis(
    "translation_baseline",
    "the same of a supervised model, trained on the run's pairs",
    num_samples=1,
    trains=True,
)
def analyze(run: Run, settings: Settings) -> dict[str, Any]:
    """Trains a model for each direction on a run's pairs; the `translation_baseline` analysis.

    Each model has the run's networks, tokeniser, batch size, learning rate and word dropout. It is
    trained on the run's complete examples for at most `settings.baseline_steps_of(run)` steps, and
    keeps the weights with the lowest loss on all pairs of the validation split. Training stops
    early if this loss does not decrease any more. Results have the `steps` of these weights.

    Raises:
        UserError: There are fewer than two languages, the model has conditions, no example is
            complete, or `settings.baseline_steps` is 0.
    """
    names, most = languages_of(run), settings.baseline_steps_of(run)  # before any data are read
    if not most:
        raise UserError("--analysis=translation_baseline needs --baseline_steps above 0")
    train, validation = (
        _whole(split, names) for split in (run.seen_split("train"), run.split("validation"))
    )
    if not len(train[names[0]]) or not len(validation[names[0]]):
        raise UserError(
            "--analysis=translation_baseline needs complete examples in the training and the "
            "validation split, and there are none; choose another --analysis"
        )
    ids = _ids(run.split(settings.split), names, settings.max_examples)
    steps = {}

    def translate(source: str, target: str) -> list[str]:
        model = _compiled(run, source, target)
        pairs, checks = ((part[source], part[target]) for part in (train, validation))

        def shown(rounds: range) -> Iterable:
            words = f"supervised: {source} to {target}"
            return settings.progress(rounds, desc=words, total=len(rounds))

        steps[f"{target} | {source}"] = train_on_pairs(
            model, pairs, checks, run.config.batch_size, most, run.config.seed, shown
        )
        said = model.predict(ids[source], batch_size=settings.batch_size, verbose=0)
        return model.likelihood.text(said)

    results, lines = direction_scores(run, settings, translate)
    for name, result in results.items():
        taken = steps[name.rpartition(":")[0]]
        result |= {"steps": taken, "note": f"{taken:,} steps"}
    write_lines(run.directory / "evaluation" / "translation_baseline.txt", lines)
    return results


def train_on_pairs(
    model: SequenceToSequence,
    pairs: tuple[np.ndarray, np.ndarray],
    checks: tuple[np.ndarray, np.ndarray],
    batch_size: int,
    steps: int,
    seed: int,
    rounds_shown: Callable[[range], Iterable] = lambda rounds: rounds,
) -> int:
    """Trains with early stopping, and restores the weights with the lowest validation loss.

    The validation loss is computed every 100 steps. Training stops if it has not decreased ten
    times in a row.

    Args:
        model: A compiled model.
        pairs: Sources and targets to train on, ids `[number, length]` each.
        checks: Sources and targets to validate on, ids `[number, length]` each.
        batch_size: The number of pairs per step (at most the number of pairs).
        steps: The largest number of steps.
        seed: The seed of the pairs' order.
        rounds_shown: Wraps the rounds of 100 steps, to show progress.

    Returns:
        The step of the best weights.
    """
    number = len(pairs[0])
    order = tf.data.Dataset.from_tensor_slices(pairs).shuffle(number, seed=seed).repeat()
    batches = order.batch(min(batch_size, number), drop_remainder=True).prefetch(2)
    rounds = -(-steps // _ROUND)
    each = steps // rounds
    best = keras.callbacks.EarlyStopping("val_loss", patience=_PATIENCE, restore_best_weights=True)
    model.fit(
        batches,
        epochs=rounds,
        steps_per_epoch=each,
        validation_data=tf.data.Dataset.from_tensor_slices(checks).batch(batch_size),
        callbacks=[best, _Progress(rounds_shown(range(rounds)))],
        shuffle=False,  # the data set shuffles
        verbose=0,
    )
    return (best.best_epoch + 1) * each


class _Progress(keras.callbacks.Callback):
    """Advances a progress bar after each epoch."""

    def __init__(self, items: Iterable):
        super().__init__()
        self.items = iter(items)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        next(self.items, None)


def _compiled(run: Run, source: str, target: str) -> SequenceToSequence:
    """Returns a new model of the run's networks and optimizer settings."""
    config = run.config
    keras.utils.set_random_seed(config.seed)
    by_name = {m.name: m for m in run.fresh_modalities()}
    model = SequenceToSequence(by_name[source], by_name[target], run.model.latent_dim, config.seed)
    model.compile(
        keras.optimizers.Adam(config.learning_rate, global_clipnorm=config.clip_norm or None),
        jit_compile=config.jit_compile,
    )
    return model


def _whole(split: Split, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns the ids of a split's complete examples, by language."""
    return _ids(split if split.presence is None else keep_paired(split), names, None)


def _ids(split: Split, names: Sequence[str], number: int | None) -> dict[str, np.ndarray]:
    """Returns ids `[examples, length]` of the first examples of a split, by language."""
    dataset = split.dataset if number is None else split.dataset.take(number)
    batches = list(dataset.batch(1000).as_numpy_iterator())
    if not batches:
        return {name: np.zeros([0, 1], np.int32) for name in names}
    return {name: np.concatenate([batch["x"][name] for batch in batches]) for name in names}
