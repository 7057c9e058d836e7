"""What identifies a person, each as a branch of the UNet's cross-attention."""

from bolid.models.branches.base import IdentityBranch
from bolid.models.branches.body import BodyBranch
from bolid.models.branches.face import FaceBranch
from bolid.models.branches.pose import PoseBranch
from bolid.models.branches.true_body import TrueBodyBranch

__all__ = ["BodyBranch", "FaceBranch", "IdentityBranch", "PoseBranch", "TrueBodyBranch"]
