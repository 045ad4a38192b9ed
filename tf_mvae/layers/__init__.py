"""Keras layers: the product of experts, and encoder and decoder networks."""

from tf_mvae.layers.batch_normalization import MaskedBatchNormalization
from tf_mvae.layers.context_block import ContextBlock
from tf_mvae.layers.conv import conv_decoder, conv_encoder
from tf_mvae.layers.dropout import SeededDropout
from tf_mvae.layers.grouped import (
    GroupedDense,
    GroupedEmbedding,
    grouped_mlp_decoder,
    grouped_mlp_encoder,
)
from tf_mvae.layers.linear import LinearDecoder
from tf_mvae.layers.mlp import mlp_decoder, mlp_encoder
from tf_mvae.layers.product_of_experts import ProductOfExperts
from tf_mvae.layers.recurrent import RecurrentDecoder, RecurrentEncoder, unrolled
from tf_mvae.layers.sequential import MaskedSequential
from tf_mvae.layers.spatial import (
    FromPatches,
    LatentGrid,
    ToPatches,
    spatial_decoder,
    spatial_encoder,
    spatial_head,
)
from tf_mvae.layers.transposed import ImageConv2DTranspose

__all__ = [
    "ContextBlock",
    "FromPatches",
    "GroupedDense",
    "GroupedEmbedding",
    "ImageConv2DTranspose",
    "LatentGrid",
    "LinearDecoder",
    "MaskedBatchNormalization",
    "MaskedSequential",
    "ProductOfExperts",
    "RecurrentDecoder",
    "RecurrentEncoder",
    "SeededDropout",
    "ToPatches",
    "conv_decoder",
    "conv_encoder",
    "grouped_mlp_decoder",
    "grouped_mlp_encoder",
    "mlp_decoder",
    "mlp_encoder",
    "spatial_decoder",
    "spatial_encoder",
    "spatial_head",
    "unrolled",
]
