"""The three networks of the paper (section 3.2): regressor, encoder, critic."""

from .critic import Critic
from .encoder import Encoder
from .regressor import REGRESSORS, build_regressor
from .resnet import ResNet50, authors_state_dict, imagenet_state_dict
from .small import SmallRegressor

__all__ = [
    "REGRESSORS",
    "Critic",
    "Encoder",
    "ResNet50",
    "SmallRegressor",
    "authors_state_dict",
    "build_regressor",
    "imagenet_state_dict",
]
