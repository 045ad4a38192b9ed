"""Keras layers: the product of experts, and encoder and decoder networks."""

from tf_mvae.layers.batch_normalization import MaskedBatchNormalization
from tf_mvae.layers.conv import conv_decoder, conv_encoder
from tf_mvae.layers.dropout import SeededDropout
from tf_mvae.layers.grouped import (
    GroupedDense,
    GroupedEmbedding,
    grouped_mlp_decoder,
    grouped_mlp_encoder,
)
from tf_mvae.layers.mlp import mlp_decoder, mlp_encoder
from tf_mvae.layers.product_of_experts import ProductOfExperts
from tf_mvae.layers.recurrent import RecurrentDecoder, RecurrentEncoder, unrolled
from tf_mvae.layers.sequential import MaskedSequential

__all__ = [
    "GroupedDense",
    "GroupedEmbedding",
    "MaskedBatchNormalization",
    "MaskedSequential",
    "ProductOfExperts",
    "RecurrentDecoder",
    "RecurrentEncoder",
    "SeededDropout",
    "conv_decoder",
    "conv_encoder",
    "grouped_mlp_decoder",
    "grouped_mlp_encoder",
    "mlp_decoder",
    "mlp_encoder",
    "unrolled",
]
