"""Models, each of which takes a norm factory and never a norm's name. One import line each."""

from bnexp.models import cnn as cnn
from bnexp.models import deep_linear as deep_linear
from bnexp.models import inception as inception
from bnexp.models import linear as linear
from bnexp.models import mlp as mlp
from bnexp.models import resmlp as resmlp
from bnexp.models import resnet as resnet
from bnexp.models import vgg as vgg
from bnexp.models import vit as vit
from bnexp.models.factory import MODELS, build_model, register

__all__ = ["MODELS", "build_model", "register"]
