"""The likelihood analyses: their questions, examples and results."""

import math
import types

import numpy as np
import pytest

from tests import tiny
from tests.linear_gaussian import LinearGaussian
from tf_mvae import CVAE, MVAE, VAE, Modality, likelihoods
from tf_mvae.data.pipeline import Split
from tf_mvae.errors import UserError
from tf_mvae.evaluation import ANALYSES, ImportanceSampler, Question, Settings, likelihood, table
from tf_mvae.evaluation.likelihood import default_questions, estimate
from tf_mvae.layers import mlp_encoder

pytestmark = pytest.mark.usefixtures("untraced")

TRUTH = LinearGaussian([3, 4, 5])
MODEL = TRUTH.model()
X = TRUTH.sample(30)
HAS_X1 = np.arange(30) % 3 > 0
BATCH = {"x": X, "mask": {"x1": HAS_X1.astype(np.float32)}}


def exact(names, rows):
    return np.array([TRUTH.log_prob(X, row, names) for row in rows])


def test_questions_of_up_to_three_modalities():
    assert [str(question) for question in default_questions(MODEL)] == [
        "log p(x0)",
        "log p(x1)",
        "log p(x2)",
        "log p(x0, x1, x2)",
        "log p(x0 | x1, x2)",
        "log p(x1 | x0, x2)",
        "log p(x2 | x0, x1)",
    ]


def test_questions_of_more_modalities_grow_no_further():
    questions = default_questions(LinearGaussian().model())
    assert [str(question) for question in questions] == [
        "log p(x0)",
        "log p(x0, x1, x2, x3, x4)",
        "log p(x0 | x1, x2, x3, x4)",
    ]


def test_questions_of_one_modality_and_of_a_conditional_model():
    image, label = tiny.make_modalities()[:2]
    assert [str(q) for q in default_questions(CVAE([image, label]))] == ["log p(image | label)"]
    assert [str(q) for q in default_questions(VAE([tiny.make_modalities()[0]]))] == ["log p(image)"]


def test_a_question_names_an_unusual_proposal_only():
    assert str(Question(("a",), ("b",), ("b", "a"))) == "log p(a | b)"
    assert str(Question(("a", "b"), (), ("a",))) == "log p(a, b), z from q(z | a)"
    assert str(Question(("a",), (), ())) == "log p(a), z from p(z)"


def test_means_are_over_the_examples_that_have_what_is_asked():
    questions = [Question(("x0",)), Question(("x1",)), Question(("x0",), ("x1",))]
    halves = [
        {"x": {k: v[part] for k, v in X.items()}, "mask": {"x1": BATCH["mask"]["x1"][part]}}
        for part in (slice(0, 20), slice(20, 30))
    ]
    found = estimate(ImportanceSampler(MODEL, 20), halves, questions)
    everyone, some = np.arange(30), np.flatnonzero(HAS_X1)
    values = {
        questions[0]: exact(["x0"], everyone),
        questions[1]: exact(["x1"], some),
        questions[2]: exact(["x0", "x1"], some) - exact(["x1"], some),
    }
    for question, wanted in values.items():
        result = found[question]
        assert result["examples"] == len(wanted)
        assert result["value"] == pytest.approx(wanted.mean(), abs=1e-4)
        error = wanted.std(ddof=1) / math.sqrt(len(wanted))
        assert result["standard_error"] == pytest.approx(error, rel=1e-3)
        assert result["sampling_error"] < 1e-3
        if not question.given:  # of a mixture, weights differ
            assert result["log_weight_variance"] < 1e-6
            assert result["effective_sample_size"] == pytest.approx(20, rel=1e-3)
        assert result["path"]["num_samples"][-1] == 20
        assert result["path"]["value"][-1] == pytest.approx(result["value"])


def test_the_sampling_error_is_that_of_the_mean():
    sampler = ImportanceSampler(TRUTH.model(posterior_scale=1.5), 50)
    question = Question(("x0", "x1", "x2"))
    found = [estimate(sampler, [{"x": X}], [question], seed=seed)[question] for seed in range(40)]
    spread = np.std([result["value"] for result in found], ddof=1)
    stated = np.mean([result["sampling_error"] for result in found])
    assert spread == pytest.approx(stated, rel=0.4)


def test_the_recorded_estimator_is_the_one_that_was_used():
    """The difference equals two estimates of its parts to the bit, for any set of questions."""
    shared = Question(("x0",), ("x1",))
    separate = shared._replace(given_proposal=("x1",))
    prior = shared._replace(given_proposal=())
    assert str(shared) == str(separate) == "log p(x0 | x1)"
    assert str(prior) == "log p(x0 | x1), z of log p(x1) from p(z)"
    questions = [shared, separate, prior, Question(("x1",)), Question(("x0", "x1"))]
    sampler = ImportanceSampler(TRUTH.model(posterior_scale=1.5), 40, jit_compile=False)
    found = estimate(sampler, [{"x": X}], questions, seed=3)
    recorded = ("estimator", "proposal", "given_proposal")
    assert [found[shared].get(key) for key in recorded] == [
        "shared draws",
        [["x0", "x1"], ["x1"]],
        None,
    ]
    assert [found[separate][key] for key in recorded] == ["difference", ["x0", "x1"], ["x1"]]
    assert found[prior]["given_proposal"] == []
    difference = found[questions[4]]["value"] - found[questions[3]]["value"]
    assert found[separate]["value"] == pytest.approx(difference, rel=1e-12)
    assert found[shared]["value"] != found[separate]["value"]


def test_settings_make_every_conditional_likelihood_a_difference():
    settings = Settings(num_samples=20, max_examples=10, given_proposal=("given",))
    found = ANALYSES["log_likelihood"].analyze(FakeRun(), settings)
    assert found["log p(x0 | x1, x2)"]["given_proposal"] == ["x1", "x2"]
    assert settings.recorded()["given_proposal"] == ["given"]
    assert "estimator" not in found["log p(x0)"]


def test_the_fraction_of_examples_with_few_effective_samples_is_reported():
    question = Question(("x0", "x1", "x2"), (), ())  # from the prior
    sampler = ImportanceSampler(MODEL, 200, jit_compile=False)
    found = estimate(sampler, [{"x": X}], [question])[question]
    sizes = sampler({"x": X}, proposal=()).effective_sample_size.numpy()
    assert 0 < found["few_effective_samples"] <= 1
    assert found["few_effective_samples"] == pytest.approx((sizes < 10).mean(), abs=0.2)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (Question(("x0",), ("x0",)), "target and given must not overlap; x0 is in both"),
        (Question(("nothing",)), "target names 'nothing'; there are x0, x1, x2"),
        (Question(("x0",), ("nothing",)), "given names 'nothing'"),
        (Question((), ("x0",)), "target must name at least one modality"),
        (Question(("x0",), (), ("y",)), "proposal names 'y'"),
        (Question(("x0",), ("x1",), None, ("y",)), "given_proposal names 'y'"),
    ],
)
def test_a_question_that_fits_no_model_is_named(question, words):
    with pytest.raises(UserError, match=words):
        estimate(ImportanceSampler(MODEL, 2), [BATCH], [question])


def test_no_example_for_a_question():
    nobody = {"x": X, "mask": {"x1": np.zeros(30, np.float32)}}
    with pytest.raises(UserError, match=r"no example has all modalities of log p\(x1\)"):
        estimate(ImportanceSampler(MODEL, 2), [nobody], [Question(("x1",))])


class FakeRun:
    """A run of the linear-Gaussian model that counts how often its data are read."""

    def __init__(self, model=MODEL):
        self.model, self.reads = model, 0
        self.config = types.SimpleNamespace(jit_compile=True, model="mvae")

    def split(self, name):
        return Split(None, 30)

    def batches(self, split, batch_size, seed):
        self.reads += 1
        return tiny.batches(BATCH, batch_size)


def test_both_analyses_share_one_pass_and_make_one_table():
    run, settings = FakeRun(), Settings(num_samples=20, max_examples=25, batch_size=10)
    likelihoods = ANALYSES["log_likelihood"].analyze(run, settings)
    variances = ANALYSES["weight_variance"].analyze(run, settings)
    assert run.reads == 1
    assert likelihoods["log p(x0)"]["value"] == pytest.approx(
        exact(["x0"], range(25)).mean(), abs=1e-4
    )
    assert list(variances) == [
        f"variance of log w, log p({names})" for names in ("x0", "x1", "x2", "x0, x1, x2")
    ]
    lines = table({"log_likelihood": {"results": likelihoods}}).splitlines()
    assert f"{likelihoods['log p(x0)']['value']:.3f} nats" in lines[1]


def test_a_sampler_shares_in_likelihoods_and_not_in_variances(monkeypatch):
    """Variances of models with and without a sampler are of one kind of proposal."""
    proposals = []

    def answer(sampler, batches, questions, seed):
        proposals.append(sampler.proposal)
        return dict.fromkeys(questions, {"value": 0.0}) if slow else {}

    slow = False
    model = types.SimpleNamespace(sampler="sampler", modalities=MODEL.modalities, conditions=())
    model.proposing_sampler = model.sampler
    monkeypatch.setattr(likelihood, "estimate", answer)
    monkeypatch.setattr(
        likelihood, "ImportanceSampler", lambda *_, **given: types.SimpleNamespace(**given)
    )
    settings = Settings(num_samples=5, questions=(Question(("x2",), ()),))
    ANALYSES["log_likelihood"].analyze(FakeRun(model), settings)
    with pytest.raises(UserError, match="without --given"):  # `answer` found none
        ANALYSES["weight_variance"].analyze(FakeRun(model), settings)
    assert proposals == ["sampler", None]
    # A report that names a sampler says that these samples are not its.
    slow, model.proposing_sampler = True, None
    settings = Settings(num_samples=5, questions=(Question(("x2",), ()),))
    (found,) = ANALYSES["log_likelihood"].analyze(FakeRun(model), settings).values()
    assert found["proposal"] == "posterior" and proposals[-1] is None


def test_asked_questions_replace_the_usual_ones():
    settings = Settings(num_samples=5, questions=(Question(("x2",), ("x0",)),))
    assert list(ANALYSES["log_likelihood"].analyze(FakeRun(), settings)) == ["log p(x2 | x0)"]
    with pytest.raises(UserError, match="without --given"):
        ANALYSES["weight_variance"].analyze(FakeRun(), settings)


def test_a_row_that_is_all_gaps_does_not_count():
    modality = Modality("a", likelihoods.Normal([2]), mlp_encoder([4]), element_mask=True)
    model = MVAE([modality, Modality("b", likelihoods.Normal([1]), mlp_encoder([4]))], 2)
    x = np.array([[1, 2], [np.nan, np.nan], [3, np.nan]], np.float32)
    batch = {"x": {"a": x, "b": np.ones([3, 1], np.float32)}}
    masked = batch | {"mask": {"a": (~np.isnan(x)).astype(np.float32)}}
    found, expected = (
        estimate(ImportanceSampler(model, 5), [given], [Question(("a",))])
        for given in (batch, masked)
    )
    assert found == expected
