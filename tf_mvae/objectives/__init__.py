"""Objectives: which subsets are terms, with which weights, and how they become a loss."""

from tf_mvae.objectives.engine import Batch
from tf_mvae.objectives.joint_elbo import AnyElbo, JointElbo, TotalCorrelation
from tf_mvae.objectives.mixture_bounds import (
    MixtureElbo,
    PrivateStratifiedBound,
    StratifiedBound,
)
from tf_mvae.objectives.objective import Elbo, Objective, Step
from tf_mvae.objectives.rows import RowPlan
from tf_mvae.objectives.subset_elbos import SubsetElbos, default_term_weight
from tf_mvae.objectives.unimodal import EachExplainsAll, JointAndUnimodalElbos

__all__ = [
    "AnyElbo",
    "Batch",
    "EachExplainsAll",
    "Elbo",
    "JointAndUnimodalElbos",
    "JointElbo",
    "MixtureElbo",
    "Objective",
    "PrivateStratifiedBound",
    "RowPlan",
    "Step",
    "StratifiedBound",
    "SubsetElbos",
    "TotalCorrelation",
    "default_term_weight",
]
