"""The three networks of the paper (section 3.2): regressor, encoder, critic."""

from .critic import Critic
from .encoder import Encoder
from .outputs import Prediction, split_output
from .regressor import REGRESSORS, build_regressor, load_weights
from .resnet import ResNet50, authors_state_dict, imagenet_state_dict
from .small import SmallRegressor

__all__ = [
    "REGRESSORS",
    "Critic",
    "Encoder",
    "Prediction",
    "ResNet50",
    "SmallRegressor",
    "authors_state_dict",
    "build_regressor",
    "imagenet_state_dict",
    "load_weights",
    "split_output",
]
