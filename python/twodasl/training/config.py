"""The configuration of a training run: frozen dataclasses, plain dictionaries, and nothing else.

A configuration is what a checkpoint stores (`to_dict`) and what a TOML file or `--set key=value` changes
(`from_dict`, `with_settings`). Two equal configurations, on one machine, give the same bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..datasets.photos.kinds import split_source
from ..networks import REGRESSORS
from .records import Record, expect, expect_share, expect_within

# Steps or faces more than any run has; seconds of thirty years; crop pixels.
_MOST_STEPS, _MOST_FACES, _MOST_SECONDS, _MOST_PIXELS = 10**9, 10**7, 10**9, 120
_MOST_BATCH, _MOST_WORKERS, _MOST_CHANNELS = 2**16, 1024, 4096
# What torch, NumPy and TOML all take.
_MOST_SEED = 2**63 - 1
# Of a term of the loss, a rate, a spread: finite in float32 also when multiplied.
_MOST_WEIGHT, _MOST_RATE, _LEAST_RATE, _MOST_SPREAD = 10**9, 10**3, 1e-30, 10


@dataclass(frozen=True)
class DataConfig(Record):
    """Which faces."""

    model: str = "procedural"
    """The face model: what `twodasl.morphable.load_model` accepts."""
    faces: int = 12_000
    """Synthetic faces with 3D annotation in the training set."""
    photos: int = 4_000
    """Synthetic faces of which only the visible 2D landmarks are used. 0: no such faces."""
    pool: bool = True
    """Render every face once and keep it in memory (43 KB a face); otherwise each time it is used."""
    workers: int = 0
    """Processes that render: for the pool, or ahead of the loop. 0: in the process that trains."""
    photo_source: str = ""
    """Real photos instead of synthetic ones for the 2D-only faces, all that the data set has: `KIND:FOLDER`,
    as in `aflw:/data/aflw`, see `twodasl.datasets.photos.sources`. `photos` does not count then."""
    face_source: str = ""
    """A data set with parameters (300W-LP) instead of synthetic 3D-annotated faces: `KIND:FOLDER`. `faces`
    does not count then."""
    fitted_source: str = ""
    """Photos with 3D annotation beside those faces, `fitted_batch` of them a step: `fitted:FOLDER`, as
    `twodasl data annotate` and `twodasl data turn` make it, or `KIND:FOLDER` of another data set with
    parameters; several with commas between them."""
    basis: str = ""
    """With 300W-LP: the folder of 3DDFA's basis, which must be the face model's, see
    `twodasl.datasets.basel`. Empty: `face_source`'s own folder or that of `model`, where it is there."""
    cache: str = ""
    """The folder that keeps the lists of photos; empty: the user's cache."""
    face_share: float = 1.0
    """Share of the 3D-annotated faces that is used, drawn once; a smaller share is part of a larger one."""
    photo_share: float = 1.0
    """Share of the 2D-only faces that is used; 0: none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_within(self, 2, _MOST_FACES, "faces")
        expect_within(self, 0, _MOST_FACES, "photos")
        expect_within(self, 0, _MOST_WORKERS, "workers")
        expect_share(self, "face_share", "photo_share")
        expect(self.face_share > 0, "face_share", "a number above 0", self.face_share)
        for key in ("photo_source", "face_source"):
            if getattr(self, key):
                split_source(getattr(self, key), f"configuration: {key}")
        for source in self.fitted_sources:
            split_source(source, "configuration: fitted_source")

    @property
    def fitted_sources(self) -> list[str]:
        """The entries of `fitted_source`."""
        return self.fitted_source.split(",") if self.fitted_source else []


@dataclass(frozen=True)
class LandmarkConfig(Record):
    """What a landmark detector does to the landmarks before they enter the map; drawn again for each use.

    The error of a face is a shift of all points, an affine distortion about their center, and an error of
    each point, times a factor that is log-normal over faces and grows with |yaw|. The defaults are about the
    spread of a common detector's landmarks on AFLW2000-3D against its annotation; against landmarks that were
    re-annotated later it is half of that, as in the preset `small` (docs/experiments.md).
    """

    shift: float = 0.8
    """Standard deviation of the shift, crop pixels."""
    affine: float = 0.035
    """Standard deviation of the four entries of the distortion."""
    jitter: float = 1.0
    """Standard deviation of each point's error, crop pixels."""
    profile: float = 0.8
    """The factor at |yaw| = 90 degrees is 1 + this."""
    tail: float = 0.45
    """Standard deviation of the factor's logarithm: how uneven faces are."""
    point_dropout: float = 0.03
    """Share of points left out of the map."""
    hide_occluded: float = 0.3
    """Share of faces whose invisible points are left out, as in AFLW; detectors guess them."""
    map_dropout: float = 0.15
    """Share of faces with a blank map, so that the network also works without landmarks. 1: the network sees
    the image alone, and `FaceReconstructor` then never shows it a map."""

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_within(self, 0, _MOST_PIXELS, "shift", "jitter")
        expect_within(self, 0, _MOST_SPREAD, "affine", "profile", "tail")
        expect_share(self, "point_dropout", "hide_occluded", "map_dropout")


@dataclass(frozen=True)
class AugmentConfig(Record):
    """Changes of a face each time it is used; parameters and landmarks follow exactly."""

    rotation: float = 10.0
    """Standard deviation of the rotation in the image plane, degrees."""
    scale: float = 0.06
    """Standard deviation of the logarithm of the scale."""
    shift: float = 3.0
    """Standard deviation of the shift along each axis, pixels."""
    gain: float = 0.12
    """Standard deviation of the logarithm of each color channel's gain, and of the common gamma."""
    flip: float = 0.0
    """Share of faces that are mirrored. Faces with parameters only where the face model is symmetric (the
    embedded one is), see `mirror.py`. 0 does for synthetic faces, which are drawn alike to both sides; 0.5
    suits photos, of which there are only so many."""

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_within(self, 0, 360, "rotation")
        expect_within(self, 0, _MOST_PIXELS, "shift")
        expect_within(self, 0, _MOST_SPREAD, "scale", "gain")
        expect_share(self, "flip")


@dataclass(frozen=True)
class NetworkConfig(Record):
    regressor: str = "small"
    """`small` or `resnet50`."""
    start: str = ""
    """Where to start: a checkpoint or weights of ours, or the name of some that come with the package, whose
    networks and whitening are taken (stage 2 after stage 1), also into a network with `points` where it has
    none; for resnet50 also a file of torchvision ImageNet weights, or the authors' checkpoint."""
    points: int = 0
    """68: beside the parameters it regresses where it sees the face model's landmarks, hidden ones too, and
    how sure it is of each. Ours, not the paper's. 0: no such outputs."""
    encoder_widths: tuple[int, ...] = (16, 32, 64, 128, 256, 256)
    """Channels of the encoder's six convolutions; the last one is the size of z."""
    precision: str = "float32"
    """`float32`, or `bfloat16` inside the regressor (much faster on processors that have it, much slower on
    others), or `auto`: whichever of the two a few trial steps show to be faster, decided once, when the run
    begins. `float16`, for GPUs without bfloat16, comes with a loss scale that adapts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        expect(self.regressor in REGRESSORS, "regressor", " or ".join(sorted(REGRESSORS)), self.regressor)
        expect(self.points in (0, 68), "points", "0 or 68", self.points)
        widths = self.encoder_widths
        fit = len(widths) == 6 and all(0 < width <= _MOST_CHANNELS for width in widths)
        expect(fit, "encoder_widths", f"six widths from 1 to {_MOST_CHANNELS}", widths)
        known = ("float32", "bfloat16", "float16", "auto")
        expect(self.precision in known, "precision", " or ".join(known), self.precision)


@dataclass(frozen=True)
class LossConfig(Record):
    """Weights of the self-supervision losses, in both stages; a term of weight 0 is not computed."""

    landmarks_2d: float = 0.005
    """L2d-con, l1."""
    landmarks_3d: float = 0.005
    """L3d-con, l2."""
    cycle: float = 1.0
    """Lcyc, l3 (the authors' draft trainer used 0.005)."""
    self_critic: float = 0.005
    """Lsc, l4."""
    likelihood: float = 1.0
    """Negative log-likelihood of the landmarks under the network's own points, where `network.points` has it
    regress them."""
    pose_free: float = 0.0
    """What coefficients make of landmarks and of the gaps of mouth and eyes under the true pose, of faces
    with 3D annotation. Ours, not the paper's; without it a network hardly sees expressions."""
    gaps: float = 0.0
    """The gaps of mouth and eyes between the network's own points, of faces with 3D annotation. Ours."""
    second_pass_every: int = 1
    """Steps from one second pass (L3d-con and Lcyc) to the next; 1 is the paper's, more is cheaper."""
    importance: bool = True
    """W of L3d: a parameter counts as much as it moves the landmarks. Otherwise all count alike."""
    points: int = 18
    """The points of L2d-con, L3d-con and Lcyc: the paper's 18, or AFLW's 21, whose ears and chin tell how
    wide and long a face is. 21 needs a face model that names its ears (`MorphableModel.named_landmarks`) and
    is for photos that have them annotated; the landmark map keeps to the 18."""
    landmark_weights: bool = True
    """v of L2d-con: nose tip and mouth center count 4, eye centers and mouth corners 2, the rest 1. Otherwise
    all points count alike, with the same sum."""
    space: str = "3d"
    """Importance weights of L3d: landmarks in `3d` or `2d`."""
    normalize: str = "sum"
    """Importance weights of L3d: divided by their `sum` (the paper) or `max` (3DDFA)."""
    adversarial: str = "saturating"
    """The regressor's side of Lsc: `saturating` (the paper) or `non-saturating`."""
    compile: str = "auto"
    """Whether `torch.compile` makes graphs of the losses, fewer kernels on a GPU: `on`, `off`, or `auto`:
    on for a GPU where Triton is there, off otherwise, decided once, when the run begins. Each kind of step
    (stage, with or without second pass) is compiled when it first comes, which takes up to a minute."""

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_within(
            self,
            0,
            _MOST_WEIGHT,
            *("landmarks_2d", "landmarks_3d", "cycle", "self_critic", "likelihood", "pose_free", "gaps"),
        )
        expect_within(self, 1, _MOST_STEPS, "second_pass_every")
        expect(self.points in (18, 21), "points", "18 or 21", self.points)
        expect(self.space in ("2d", "3d"), "space", "2d or 3d", self.space)
        expect(self.normalize in ("sum", "max"), "normalize", "sum or max", self.normalize)
        forms = ("saturating", "non-saturating")
        expect(self.adversarial in forms, "adversarial", " or ".join(forms), self.adversarial)
        expect(self.compile in ("on", "off", "auto"), "compile", "on, off or auto", self.compile)


@dataclass(frozen=True)
class OptimizerConfig(Record):
    name: str = "adam"
    """`adam` or `sgd`."""
    momentum: float = 0.9
    """Of SGD."""
    weight_decay: float = 0.0
    """Of the regressor's weights, in either optimizer."""
    clip: float = 10.0
    """Largest norm of the regressor's gradient; longer ones are shortened to it. 0: no limit."""
    critic_learning_rate: float = 1e-4
    """Adam's, for encoder and critic."""
    ema: float = 0.0
    """Decay a step of the running average of the regressor's weights, which is then what reconstructs and is
    evaluated; 0.999 averages over about a thousand steps. 0: no average."""

    def __post_init__(self) -> None:
        super().__post_init__()
        expect(self.name in ("adam", "sgd"), "name", "adam or sgd", self.name)
        expect_within(self, 0, _MOST_WEIGHT, "weight_decay", "clip")
        for key in ("momentum", "ema"):
            expect(0 <= getattr(self, key) < 1, key, "a number from 0 to below 1", getattr(self, key))
        expect_within(self, _LEAST_RATE, _MOST_RATE, "critic_learning_rate")


@dataclass(frozen=True)
class StageConfig(Record):
    """One stage: how long, how fast, and which supervision the 3D-annotated faces give."""

    steps: int = 1000
    """Batches; 0 leaves the stage out."""
    learning_rate: float = 1e-3
    """At the beginning of the stage, after the warm-up."""
    final_learning_rate: float = 1e-5
    """At the end of the stage."""
    schedule: str = "cosine"
    """From the first learning rate to the final one: `cosine` or `exponential`."""
    warmup: int = 0
    """Steps over which the learning rate rises from zero at the beginning."""
    parameters: float = 1.0
    """Weight of L3d, the importance-weighted parameter loss."""
    vertices: float = 0.0
    """Weight of the vertex distance cost."""

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_within(self, 0, _MOST_STEPS, "steps", "warmup")
        expect_within(self, 0, _MOST_WEIGHT, "parameters", "vertices")
        expect_within(self, _LEAST_RATE, _MOST_RATE, "learning_rate", "final_learning_rate")
        expect(self.schedule in ("cosine", "exponential"), "schedule", "cosine or exponential", self.schedule)

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of step 0 <= step < steps of this stage."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / (self.warmup + 1)
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        if self.schedule == "exponential":
            return self.learning_rate * (self.final_learning_rate / self.learning_rate) ** progress
        swing = self.learning_rate - self.final_learning_rate
        return self.final_learning_rate + 0.5 * swing * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class TrainingConfig(Record):
    """Everything that decides the outcome of a training run."""

    preset: str = "small"
    """The preset that the configuration began with, for the record; it decides nothing."""
    seed: int = 0
    """Seed of everything that is random: the same seed gives the same run."""
    batch: int = 32
    """3D-annotated faces per step."""
    fitted_batch: int = 0
    """Further 3D-annotated faces per step, from `data.fitted_source`."""
    photo_batch: int = 8
    """2D-only faces per step; 0 leaves them out."""
    checkpoint_every: int = 200
    """Steps from one checkpoint to the next; each replaces the last."""
    keep_every: int = 0
    """Steps from one checkpoint that is kept under a name of its own to the next; 0 keeps none."""
    time_limit: float = 0.0
    """Seconds from the beginning, rendering included; 0: none. Where a few trial steps show that this machine
    needs longer, both stages get proportionally fewer steps when the run begins, and the second one fewer
    still when it comes to it and the first was slower than the trial."""
    data: DataConfig = field(default_factory=DataConfig)
    """Which faces."""
    landmarks: LandmarkConfig = field(default_factory=LandmarkConfig)
    """What a landmark detector does to the landmarks before they enter the map, drawn for each use."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Changes of a face each time it is used; parameters and landmarks follow exactly."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """What is trained, and in which precision."""
    loss: LossConfig = field(default_factory=LossConfig)
    """Weights of the self-supervision losses, in both stages; a term of weight 0 is not computed."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How weights follow from gradients, in both stages."""
    stage1: StageConfig = field(default_factory=StageConfig)
    """The first stage: how long, how fast, and which supervision the 3D-annotated faces give."""
    stage2: StageConfig = field(
        default_factory=lambda: StageConfig(steps=300, learning_rate=1e-4, parameters=0.0, vertices=0.1)
    )
    """The second stage, as the first."""

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_within(self, 0, _MOST_SEED, "seed")
        expect_within(self, 2, _MOST_BATCH, "batch")  # batch normalization needs two
        expect_within(self, 0, _MOST_BATCH, "photo_batch", "fitted_batch")
        expect_within(self, 0, _MOST_STEPS, "keep_every")
        expect_within(self, 0, _MOST_SECONDS, "time_limit")
        expect_within(self, 1, _MOST_STEPS, "checkpoint_every")
        expect(self.steps > 0, "stage1.steps", "at least one step in one of the stages", self.steps)

    @property
    def steps(self) -> int:
        """Steps of both stages."""
        return self.stage1.steps + self.stage2.steps

    def stage_at(self, step: int) -> tuple[StageConfig, int]:
        """The stage of a step, and the step counted from that stage's beginning."""
        if step < self.stage1.steps:
            return self.stage1, step
        return self.stage2, step - self.stage1.steps
