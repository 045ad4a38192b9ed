"""The runs behind results/results.md: how each is trained, and what is measured of it."""

# What is trained: name -> flags of tf_mvae.train, apart from the places of data and run.
_SHORT = "--flagfile=configs/short.cfg"
_MODELS = ("mvae", "vae", "jmvae", "cvae", "bivcca", "mvae_q", "telbo")
RUNS = {
    f"{experiment}-{model}": [f"--flagfile=configs/{experiment}/{model}.cfg", _SHORT]
    for experiment in ("binary_mnist", "mnist")
    for model in _MODELS
}
for _seed in (1, 2):
    RUNS[f"binary_mnist-mvae-seed{_seed}"] = [*RUNS["binary_mnist-mvae"], f"--seed={_seed}"]
# A quarter of that: convolutions take seven times as long on a CPU.
RUNS |= {
    f"fashion_mnist-{model}": [
        f"--flagfile=configs/fashion_mnist/{model}.cfg",
        *("--epochs=25", "--annealing_epochs=10", "--learning_rate_schedule=cosine"),
    ]
    for model in _MODELS
}
# The paper's length, at its constant learning rate and at one that falls.
RUNS["binary_mnist-mvae-500"] = ["--flagfile=configs/binary_mnist/mvae.cfg"]
RUNS["binary_mnist-mvae-500-cosine"] = [
    *RUNS["binary_mnist-mvae-500"],
    "--learning_rate_schedule=cosine",
]


# The trials of docs/objectives.md: the weights of the engine's terms.
_TRIAL = [
    "--experiment=mnist",
    "--epochs=20",
    "--annealing_epochs=10",
    "--likelihood_weight=image=1,label=1",
]
_PAPER = ["--likelihood_weight=image=1,label=50", "--cross_weight=image=0,label=0"]
RUNS |= {
    "objective-paper": [*_TRIAL, *_PAPER],
    "objective-label0.1": [*_TRIAL, "--term_weight=label=0.1"],
    "objective-label0.15": [*_TRIAL, "--term_weight=label=0.15"],
    "objective-weight2-label0.1": [
        *_TRIAL,
        "--likelihood_weight=image=1,label=2",
        "--term_weight=label=0.1",
    ],
    "objective-label0.1-cosine": [
        *_TRIAL,
        "--term_weight=label=0.1",
        "--learning_rate_schedule=cosine",
    ],
    "objective-weight2-label0.05": [
        *_TRIAL,
        "--likelihood_weight=image=1,label=2",
        "--term_weight=label=0.05",
    ],
    "objective-weight5-label0.1": [
        *_TRIAL,
        "--likelihood_weight=image=1,label=5",
        "--term_weight=label=0.1",
    ],
    "objective-everything0.1-label0.1": [*_TRIAL, "--term_weight=everything=0.1,label=0.1"],
}
# The same at the length of results/results.md.
_LONG = ["--experiment=mnist", _SHORT, "--steps_per_execution=10"]
RUNS |= {
    "objective-long-paper": [*_LONG, *_PAPER],
    **{
        f"objective-long-label{weight}": [
            *_LONG,
            "--likelihood_weight=image=1,label=1",
            f"--term_weight=label={weight}",
        ]
        for weight in (0.1, 0.15)
    },
}
RUNS |= {
    "coherence-mnist-mvae_cross": ["--flagfile=configs/mnist/mvae_cross.cfg"],
    "coherence-mnist-mvae_paper": ["--flagfile=configs/mnist/mvae.cfg", *_TRIAL[1:3]],
}

# The runs of docs/objectives.md with a sampler of the latent: coherent and diverse.
_OBJECTIVES = {
    "default": ["--likelihood_weight=image=1,label=1", "--term_weight=label=0.1"],
    "label_cross": ["--likelihood_weight=image=1,label=1", "--cross_weight=image=0,label=1"],
    "paper": _PAPER,
}
RUNS |= {
    f"generation-{experiment}-{name}{seed and f'-seed{seed}'}": [
        f"--experiment={experiment}",
        *schedule,
        *flags,
        *([f"--seed={seed}"] if seed else []),
    ]
    for experiment, schedule in (
        ("mnist", [*_LONG[1:], "--sampler_epochs=60"]),
        ("binary_mnist", [*_LONG[1:], "--sampler_epochs=60"]),
        ("fashion_mnist", [*RUNS["fashion_mnist-mvae"][1:], "--sampler_epochs=20"]),
    )
    for name, flags in _OBJECTIVES.items()
    for seed in (("", 1, 2) if (experiment, name) == ("mnist", "default") else ("",))
}

RUNS["quickstart"] = ["--flagfile=configs/quickstart.cfg"]

# The trials of docs/weak_supervision.md, at 0.5 % paired.
_WEAK = [
    "--experiment=mnist",
    "--paired_fraction=0.005",
    "--paired_share=0.2",
    "--learning_rate_schedule=cosine",
    "--term_weight=label=1",
]
_LABEL_10 = "--likelihood_weight=image=1,label=10"
_SHORT_WEAK = [*_WEAK, _LABEL_10, "--epochs=8"]
RUNS |= {
    "weak-label10": [*_WEAK, _LABEL_10, "--epochs=19", "--annealing_epochs=9"],
    "weak-label1": [
        *_WEAK,
        "--likelihood_weight=image=1,label=1",
        "--epochs=19",
        "--annealing_epochs=9",
    ],
    "weak-short": [*_SHORT_WEAK, "--annealing_epochs=4"],
    "weak-short-no_annealing": [*_SHORT_WEAK, "--annealing_epochs=0"],
    "weak-short-self_training": [
        *_SHORT_WEAK,
        "--annealing_epochs=4",
        "--self_training=label=0.95",
    ],
}

# The sweep's method, with a sampler: images generated from labels that few examples have.
RUNS |= {
    f"generation-weak-{fraction}": [
        "--flagfile=configs/weak_supervision/mvae.cfg",
        *("--experiment=mnist", f"--paired_fraction={fraction}", "--sampler_epochs=20"),
    ]
    for fraction in (0.001, 0.005, 0.01)
}

# A picture in six views takes 50 ms of one core, and twice that where every subset reconstructs
# all, so that the configurations' 100 epochs of ten thousand pictures are a day of it. Smaller
# batches than theirs make more steps of few pictures; XLA takes minutes a step of these on a CPU.
_SCHEDULES = {
    "": ["--epochs=2", "--annealing_epochs=1", "--batch_size=25"],
    "small-": ["--epochs=20", "--annealing_epochs=7", "--batch_size=10"],  # hundreds of pictures
}
RUNS |= {
    f"transformations-{size}{model}": [
        f"--flagfile=configs/celeba_transformations/{model}.cfg",
        *schedule,
        "--jit_compile=false",
        *("--learning_rate=1e-3", "--learning_rate_schedule=cosine"),
    ]
    for size, schedule in _SCHEDULES.items()
    for model in ("mvae", "mvae_cross")
}
# A grid instead of a vector. An example takes 45 ms of one core: an hour of two for ten thousand
# pictures, and five minutes for hundreds.
RUNS |= {
    f"transformations-{size}spatial": [
        "--flagfile=configs/celeba_transformations/mvae_spatial.cfg",
        *(f"--epochs={epochs}", "--annealing_epochs=0", "--batch_size=10", "--jit_compile=false"),
        *("--learning_rate=1e-3", "--learning_rate_schedule=cosine"),
    ]
    for size, epochs in (("", 10), ("small-", 40))
}

# With the configuration's constant 1e-4 two thousand pictures take more epochs than there is time.
_ATTRIBUTES = [
    *("--flagfile=configs/celeba19/mvae_cross.cfg", "--attributes=all"),
    *("--epochs=40", "--annealing_epochs=8"),
    *("--learning_rate=1e-3", "--learning_rate_schedule=cosine"),
]
RUNS |= {
    "attributes-k1": [*_ATTRIBUTES, "--num_random_subsets=1"],
    "attributes-k5": [*_ATTRIBUTES, "--num_random_subsets=5"],
    # With the paper's weight of attributes. A step of the sampler is of 100 pictures, an epoch of
    # 17 steps.
    "attributes-sampled": [
        *_ATTRIBUTES,
        *("--num_random_subsets=1", "--likelihood_weight=image=1,attributes=10"),
        "--sampler_epochs=120",
    ],
    "attributes-half": [*_ATTRIBUTES, "--num_random_subsets=1", "--missing_rate=attributes=0.5"],
}
# The configurations' 500 epochs take days on two cores, and these 37 minutes. The recommended
# objective also has a sampler: canvases drawn from a string.
_TEN = ["--epochs=10", "--annealing_epochs=4", "--learning_rate_schedule=cosine"]
RUNS |= {
    f"multi_mnist-{config}": [f"--flagfile=configs/multi_mnist/{config}.cfg", *_TEN, *sampler]
    for config, sampler in (("mvae", []), ("mvae_cross", ["--sampler_epochs=10"]))
}
# Drawn shapes with captions of one to five attributes: the epochs of the config take half an hour a
# level, these ten minutes. The sampler draws images from captions, and both from nothing.
RUNS |= {
    f"cd_sprites-level{level}": [
        *("--flagfile=configs/cd_sprites/mvae.cfg", f"--level={level}"),
        *("--epochs=5", "--annealing_epochs=2", "--learning_rate_schedule=cosine"),
        "--sampler_epochs=5",
    ]
    for level in (1, 2, 3, 4, 5)
}


def _pairs(fraction: float) -> list[str]:
    """Returns the flags that keep a fraction of the pairs complete."""
    return [] if fraction == 1 else [f"--paired_fraction={fraction}", "--paired_share=0.2"]


# By the fraction of pairs that stay complete. The KL weight rises all the way: a decoder that has
# learned to do without the latent does not come back to it, and then nothing is translated.
RUNS |= {
    f"translation-{fraction}": [
        "--flagfile=configs/translation/mvae.cfg",
        *("--epochs=5", "--annealing_epochs=5"),
        *_pairs(fraction),
    ]
    for fraction in (0.001, 0.01, 0.1, 1)
}
# With a tenth of the KL weight and encoders that look at every word. The weight rises all the way
# here too: at a constant 0.1 the latent is not used at all after 300 steps.
RUNS |= {
    f"translation-low_kl-{fraction}": [
        "--flagfile=configs/translation/mvae_low_kl.cfg",
        *("--epochs=8", "--annealing_epochs=8"),
        *_pairs(fraction),
    ]
    for fraction in (0.01, 0.1, 1)
}
# Runs whose supervised networks would be another's to the bit where they take as many steps, which
# the networks' file names contain: what they see and the seed are the same.
SAME_NETWORKS = {
    "transformations-mvae_cross": "transformations-mvae",
    "transformations-small-mvae_cross": "transformations-small-mvae",
}
# Tables with gaps, all columns in one modality or each file in its own.
RUNS["imputation"] = ["--flagfile=configs/table/mvae.cfg"]
RUNS |= {
    f"imputation-{kind}": [f"--flagfile=configs/table/{kind}.cfg"]
    for kind in ("assays", "counts", "large")
}
RUNS["sensors-mvae"] = ["--flagfile=configs/sensors/mvae.cfg"]
# Runs on data that the user names, and the flag that names them; nothing is run without a name.
OTHER_DATA = {
    "transformations": "dataset_dir",
    "attributes": "dataset_dir",
    "translation": "dataset_dir",
    "imputation": "table",
}

# The tables' log p(a | b) is the difference of log p(a, b) and log p(b), the latter with
# q(z | b), as results/results.md says.
_DIFFERENCE = "--given_proposal=given"
_LIKELIHOOD = ["--analysis=log_likelihood,weight_variance", "--max_examples=2000", _DIFFERENCE]
_COHERENCE = ["--analysis=accuracy,coherence"]


def evaluations(name: str) -> list[list[str]]:
    """Returns the flags of each evaluation of a run."""
    if name.startswith("translation"):
        return [
            ["--analysis=translation"],
            ["--analysis=translation_baseline"],
            [
                *("--analysis=log_likelihood", "--num_samples=100", "--max_examples=500"),
                _DIFFERENCE,
            ],
        ]
    if name.startswith("imputation-"):
        cells = ["--analysis=imputation", "--nowhole_modalities"]  # thousands of regressions
        if name != "imputation-assays":
            return [cells]
        how = ["--latents=refined", "--checkpoint=last"]
        return [[*cells, *how], ["--analysis=label_prediction", *how]]
    if name == "sensors-mvae":
        return [["--analysis=intervals"]]
    if name == "attributes-sampled":
        return [["--analysis=attributes,generation"]]
    if name.startswith(tuple(OTHER_DATA)):
        return [[f"--analysis={name.partition('-')[0]}"]]
    if name.startswith("multi_mnist"):
        # A canvas takes ten times as long to decode as a digit.
        measures = ["transcription", *(["generation"] if name.endswith("_cross") else [])]
        return [[f"--analysis={','.join(measures)}"], [*_LIKELIHOOD, "--max_examples=200"]]
    if name.startswith("cd_sprites"):
        return [["--analysis=generation,transcription"]]
    if name.startswith("generation-weak"):
        return [["--analysis=accuracy,generation"]]
    if name.startswith("generation"):
        ways = "--ways=guidance=1,temperature=0.8"
        return [["--analysis=generation,accuracy", ways], _LIKELIHOOD]
    if name == "quickstart":
        return [["--analysis=accuracy,coherence,generation"]]
    if name.startswith("weak"):
        return [["--analysis=accuracy", "--split=validation", "--checkpoint=last"]]
    if name.startswith("objective"):
        return [[*_LIKELIHOOD, "--target=image"], _COHERENCE]
    return [_COHERENCE] if name.startswith("coherence") else [_LIKELIHOOD]
