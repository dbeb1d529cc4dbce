"""What is drawn over the frames of a video."""

from types import SimpleNamespace

import numpy as np
import torch
from twodasl.geometry.parameters import join_parameters
from twodasl.geometry.pose import pose_matrix
from twodasl.geometry.projection import crop_landmarks
from twodasl.morphable import load_model
from twodasl.video.drawing import FaceDrawing


def test_landmarks_that_the_face_hides_are_faint():
    head = load_model("procedural")
    angles = torch.tensor([[0.0, 1.0, 0.0]])
    pose = pose_matrix(torch.tensor([0.42]), angles, torch.tensor([[60.0, 62.0, 0.0]]))
    parameters = join_parameters(pose, torch.zeros(1, len(head.modes)))
    marks = 4 * crop_landmarks(head.basis(), parameters)[0].numpy()
    face = SimpleNamespace(
        crop=SimpleNamespace(x0=0, x1=480), landmarks=marks, parameters=parameters[0].numpy(), track=1
    )
    frame = np.full((480, 480, 3), 128, np.uint8)
    drawn = FaceDrawing(head, "landmarks")(frame, [face])
    assert (frame == 128).all()

    def ink(index):
        x, row = np.rint(marks[index, :2]).astype(int)
        return np.abs(drawn[row, x].astype(int) - 128).max()

    # The jaw's two ends: the far one lies behind the face.
    far, near = (0, 16) if marks[0, 2] < marks[16, 2] else (16, 0)
    assert ink(near) > 1.5 * ink(far) > 0
