"""Windows of demonstrations: where they lie, which actions they are labelled with, and what is drawn."""

from collections import Counter

import numpy as np
import pytest
import torch

from calvinbench.envs.instructions import embedded_instructions
from calvinbench.policies.backbones.images.resize import resize
from calvinbench.policies.demonstrations.calvin_layout import CalvinLayout
from calvinbench.policies.demonstrations.demonstrations import Annotation, DataDescription, DataError, Frames
from calvinbench.policies.demonstrations.windows import WindowKey, Windows, WindowSettings


class FakeDemonstrations:
    """One episode in memory: frame N has N as x of its action and of its state, and as red of its pictures.

    The gripper is open before frame 13 and from 20 on.
    """

    def __init__(self, annotations, size=8, is_still=False):
        self.annotations = tuple(annotations)
        self.description = DataDescription("fake", "nowhere", {"static": size, "gripper": size})
        self.reads = []
        generator = np.random.default_rng(0)
        self._still = generator.integers(0, 256, (size, size, 3), np.uint8) if is_still else None
        self._size = size

    def read(self, episode, start, end, keys):
        assert episode == 0
        assert set(keys) <= {"rgb_static", "rgb_gripper", "robot_obs", "rel_actions"}
        self.reads.append((start, end, tuple(keys)))
        numbers = np.arange(start, end)
        pictures = np.zeros((len(numbers), self._size, self._size, 3), np.uint8)
        pictures[..., 0] = numbers[:, None, None]
        if self._still is not None:
            pictures[:] = self._still
        actions = np.zeros((len(numbers), 7), np.float32)
        actions[:, 0] = numbers
        actions[:, 6] = np.where((numbers >= 13) & (numbers < 20), -1, 1)
        state = np.tile(numbers[:, None].astype(np.float32), (1, 15))
        everything = {
            "rgb_static": pictures,
            "rgb_gripper": pictures.copy(),
            "rel_actions": actions,
            "robot_obs": state,
        }
        return Frames(**{key: everything[key] for key in keys})


def annotated(start, end, task="open_drawer", instruction="open it"):
    return Annotation(0, start, end, task, instruction)


def windows_of(*annotations, tasks=None, size=8, is_still=False, **settings):
    settings = WindowSettings(**({"num_frames": 3, "chunk_length": 3} | settings))
    return Windows(FakeDemonstrations(annotations, size, is_still), settings, tasks)


def frames_of(window):
    """Numbers of a window's frames."""
    return window.actions[window.is_frame, 0, 0].astype(int).tolist()


def window_at(windows, frame):
    """A window that begins at a frame, from whichever epoch has one."""
    for epoch in range(200):
        for key in windows.order(epoch):
            window = windows[key]
            if frames_of(window)[0] == frame:
                return window
    raise AssertionError(f"no window begins at {frame}")


def test_labels_are_the_actions_from_each_frame_on():
    window = windows_of(annotated(10, 17), from_start=True)[WindowKey(0, 0, 0)]
    assert window.actions[:, :, 0].tolist() == [[10, 11, 12], [11, 12, 13], [12, 13, 14]]
    assert window.actions[:, :, 6].tolist() == [[1, 1, 1], [1, 1, -1], [1, -1, -1]]
    assert window.is_valid.all()
    assert window.is_frame.tolist() == [True, True, True]
    assert window.images["static"][:, 0, 0, 0].tolist() == [10, 11, 12]
    assert window.images["gripper"][:, 0, 0, 0].tolist() == [10, 11, 12]
    assert (window.task, window.instruction) == ("open_drawer", "open it")


def test_labels_end_with_the_annotation():
    """Frames 14, 15 and 16, of which 16 is the last: what is done at 17 belongs to another subtask."""
    window = window_at(windows_of(annotated(10, 17)), 14)
    assert window.actions[:, :, 0].tolist() == [[14, 15, 16], [15, 16, 0], [16, 0, 0]]
    assert window.is_valid.tolist() == [[True, True, True], [True, True, False], [True, False, False]]
    assert (window.actions[~window.is_valid] == 0).all()


def test_a_short_annotation_is_padded_with_zeros():
    window = windows_of(annotated(10, 12), reads_robot=True)[WindowKey(0, 0, 0)]
    assert window.is_frame.tolist() == [True, True, False]
    assert window.actions[:, :, 0].tolist() == [[10, 11, 0], [11, 0, 0], [0, 0, 0]]
    assert window.is_valid.tolist() == [[True, True, False], [True, False, False], [False, False, False]]
    assert window.images["static"][:, 0, 0, 0].tolist() == [10, 11, 0]
    assert window.robot_obs[:, 0].tolist() == [10, 11, 0]
    assert window.images["static"].shape == (3, 8, 8, 3)
    assert (window.actions.dtype, window.robot_obs.dtype) == (np.float32, np.float32)


def test_the_gripper_changes_at_the_last_action_before_and_the_first_one_after():
    """It closes at 13: labels 12 and 13 are marked in each chunk that has them."""
    window = windows_of(annotated(10, 17), from_start=True)[WindowKey(0, 0, 0)]
    assert window.changes_gripper.tolist() == [[False, False, True], [False, True, True], [True, True, False]]


def test_a_change_just_outside_of_the_window_marks_its_border():
    one_action = windows_of(annotated(5, 17), chunk_length=1)
    assert window_at(one_action, 10).changes_gripper[:, 0].tolist() == [False, False, True]  # 12, before 13
    assert window_at(one_action, 13).changes_gripper[:, 0].tolist() == [True, False, False]  # 13, after 12


def test_a_change_between_annotations_is_none():
    """The annotation begins with the hand closed and ends so: it was open in the subtasks before and after."""
    window = windows_of(annotated(13, 20), num_frames=7, chunk_length=1)[WindowKey(0, 0, 0)]
    assert not window.changes_gripper.any()


def test_padding_changes_nothing():
    window = windows_of(annotated(18, 21), num_frames=4)[WindowKey(0, 0, 0)]
    assert window.changes_gripper.tolist() == [
        [False, True, True],
        [True, True, False],
        [True, False, False],
        [False, False, False],
    ]


def test_windows_lie_within_one_annotation():
    spans = ((0, 11), (11, 13), (13, 40))
    windows = windows_of(*(annotated(*span) for span in spans), num_frames=4)
    for epoch in range(30):
        for key in windows.order(epoch):
            window, (start, end) = windows[key], spans[key.annotation]
            frames = frames_of(window)
            assert frames == list(range(frames[0], frames[0] + min(4, end - start)))
            assert start <= frames[0] <= frames[-1] < end
            labels = window.actions[..., 0][window.is_valid]
            assert start <= labels.min() <= labels.max() < end


def test_each_frame_is_seen_and_those_at_the_ends_about_as_often_as_those_in_the_middle():
    """50 frames in windows of 8: 7 windows an epoch, so 7 x 8 / 50 = 1.12 times a frame in the middle.

    Windows begin at 0 when the draw falls below 0.5, where 4 of 50 parts are added: the first frame is in
    4.5 x 7 / 50 = 0.63 windows an epoch, the eighth in 11.5 x 7 / 50 = 1.61, and the first eight in 1.12 on average.
    """
    windows, num_epochs = windows_of(annotated(0, 50), num_frames=8, chunk_length=1, cameras=()), 300
    seen = np.zeros(50)
    for epoch in range(num_epochs):
        order = windows.order(epoch)
        assert len(order) == 7
        for key in order:
            seen[frames_of(windows[key])] += 1
    seen /= num_epochs
    assert seen[8:42] == pytest.approx(np.full(34, 1.12), rel=0.12)
    assert seen[:8].mean() == pytest.approx(1.12, rel=0.05)
    assert seen[-8:].mean() == pytest.approx(1.12, rel=0.05)
    assert seen[[0, 49]] == pytest.approx([0.63, 0.63], rel=0.1)
    assert seen[[7, 42]] == pytest.approx([1.61, 1.61], rel=0.1)


def test_windows_from_the_start_begin_there_and_are_cut_off():
    windows = windows_of(annotated(5, 30), annotated(30, 32), from_start=True, num_frames=4)
    assert len(windows) == 2
    for epoch in range(5):
        assert {tuple(frames_of(windows[key])) for key in windows.order(epoch)} == {(5, 6, 7, 8), (30, 31)}


@pytest.mark.parametrize(
    ("stride", "starts"),
    [(1, list(range(49))), (16, [0, 16, 32, 48]), (20, [0, 20, 40]), (100, [0])],
)
def test_windows_by_a_stride_lie_whole_within_an_annotation_the_same_in_each_epoch(stride, starts):
    """64 frames, windows of 16: 49 at a stride of 1, as RoboVLMs has them."""
    windows = windows_of(annotated(100, 164), num_frames=16, stride=stride)
    assert len(windows) == len(starts)
    for epoch in (0, 7):
        frames = sorted(frames_of(windows[key]) for key in windows.order(epoch))
        assert frames == [list(range(100 + start, 116 + start)) for start in starts]
        assert all(windows[key].is_frame.all() for key in windows.order(epoch))


def test_an_annotation_shorter_than_the_window_has_none_by_a_stride():
    spans = ((0, 15), (15, 31), (31, 48))
    windows = windows_of(*(annotated(*span) for span in spans), num_frames=16, stride=1)
    assert sorted((key.annotation, key.part) for key in windows.order(0)) == [(1, 0), (2, 0), (2, 1)]
    with pytest.raises(DataError, match=r"at least a window's 16 frames in 'nowhere', got none of more than 15\."):
        windows_of(annotated(0, 15), annotated(15, 20), num_frames=16, stride=1)


@pytest.mark.parametrize(
    ("settings", "reached"),
    [
        ({}, 30),  # all of 20, 8 and 2
        ({"from_start": True}, 8 + 8 + 2),
        ({"stride": 1}, 20 + 8),
        ({"stride": 5}, 18 + 8),  # from 0, 5 and 10 on
        ({"stride": 10}, 16 + 8),  # 0..7 and 10..17
    ],
)
def test_the_reach_is_the_share_of_frames_that_lie_in_windows(settings, reached):
    windows = windows_of(annotated(0, 20), annotated(20, 28), annotated(28, 30), num_frames=8, cameras=(), **settings)
    assert windows.reach == pytest.approx(reached / 30)
    seen = {frame for epoch in range(60) for key in windows.order(epoch) for frame in frames_of(windows[key])}
    assert len(seen) == reached


def test_an_epoch_is_a_permutation_and_a_function_of_seed_and_epoch():
    spans = ((0, 11), (11, 13), (13, 40))
    windows, same, other = (
        windows_of(*(annotated(*span) for span in spans), num_frames=4, seed=seed) for seed in (1, 1, 2)
    )
    assert len(windows) == 3 + 1 + 7  # 11 / 4, 2 / 4 and 27 / 4, rounded up
    assert windows.num_frames == 40
    everything = {(0, part) for part in range(3)} | {(1, 0)} | {(2, part) for part in range(7)}
    for epoch in range(4):
        order = windows.order(epoch)
        assert len(order) == 11
        assert {(key.annotation, key.part) for key in order} == everything
        assert {key.epoch for key in order} == {epoch}
        assert order == same.order(epoch) == windows.order(epoch)
        assert order != other.order(epoch)
    assert [(key.annotation, key.part) for key in windows.order(0)] != [
        (key.annotation, key.part) for key in windows.order(1)
    ]


def test_a_key_names_one_draw():
    def windows(seed=0):
        return windows_of(
            annotated(0, 40),
            is_still=True,
            size=200,
            num_frames=8,
            static_shift=10,
            gripper_shift=4,
            paraphrases={"open_drawer": tuple("abcdef")},
            seed=seed,
        )

    one, same = windows(), windows()
    for key in reversed(same.order(3)):
        assert_equal(one[key], same[key])
    key = WindowKey(0, 2, 0)
    assert not np.array_equal(one[key].images["static"], one[WindowKey(0, 2, 1)].images["static"])
    assert not np.array_equal(one[key].images["static"], windows(seed=1)[key].images["static"])


def assert_equal(one, other):
    assert (one.instruction, one.task) == (other.instruction, other.task)
    for camera in one.images:
        assert np.array_equal(one.images[camera], other.images[camera])
    for name in ("actions", "is_valid", "is_frame", "changes_gripper"):
        assert np.array_equal(getattr(one, name), getattr(other, name))


def shifts_of(pictures, original, largest):
    """By how much each frame was moved, by trying."""
    found = []
    for picture in pictures:
        inner = slice(largest, -largest)
        fits = [
            (down, right)
            for down in range(-largest, largest + 1)
            for right in range(-largest, largest + 1)
            if np.array_equal(picture[inner, inner], np.roll(original, (down, right), (0, 1))[inner, inner])
        ]
        assert len(fits) == 1
        found += fits
    return found


@pytest.mark.parametrize("is_same", [True, False])
def test_both_cameras_are_shifted_and_alike_over_a_window_when_asked(is_same):
    """Pictures of 40 pixels: 10 of 200 are 2 there, 4.2 of 84 likewise; at most that, and each camera by its own."""
    windows = windows_of(
        annotated(0, 40),
        is_still=True,
        size=40,
        num_frames=5,
        static_shift=10,
        gripper_shift=4,
        same_shift_in_window=is_same,
    )
    original = windows_of(annotated(0, 40), is_still=True, size=40)[WindowKey(0, 0, 0)].images["static"][0]
    drawn = {"static": [], "gripper": []}
    for key in windows.order(0) + windows.order(1):
        for camera, pictures in windows[key].images.items():
            drawn[camera].append(shifts_of(pictures, original, 4))
    for of_windows in drawn.values():
        assert all((len(set(shifts)) == 1) == is_same for shifts in of_windows)
        assert {abs(number) for shifts in of_windows for shift in shifts for number in shift} == {0, 1, 2}
    assert drawn["static"] != drawn["gripper"]


def test_pictures_are_resized_as_the_backbone_would():
    settings = {"is_still": True, "size": 30, "from_start": True}
    plain = windows_of(annotated(0, 9), **settings)[WindowKey(0, 0, 0)]
    sizes = {"static": 16, "gripper": 40}
    for resample in ("bicubic", "bilinear", "lanczos"):
        small = windows_of(annotated(0, 9), **settings, input_sizes=sizes, resample=resample)[WindowKey(0, 0, 0)]
        for camera, size in sizes.items():
            expected = resize(torch.from_numpy(plain.images[camera]), size, resample).numpy()
            assert np.array_equal(small.images[camera], expected)


def test_paraphrases_are_the_tasks_own_and_held_out_ones_never():
    instructions = embedded_instructions()
    tasks = ("open_drawer", "turn_on_led")
    windows = windows_of(
        *(annotated(10 * place, 10 * place + 10, task, "as recorded") for place, task in enumerate(tasks)),
        paraphrases=instructions.seen,
        cameras=(),
    )
    drawn = {task: Counter() for task in tasks}
    for epoch in range(60):
        for key in windows.order(epoch):
            window = windows[key]
            drawn[window.task][window.instruction] += 1
    for task in tasks:
        assert set(drawn[task]) == set(instructions.seen[task])
        assert not set(drawn[task]) & set(instructions.held_out[task])
        expected = 60 * 4 / len(instructions.seen[task])  # 10 frames are four windows of 3
        assert min(drawn[task].values()) > expected / 2


def test_without_paraphrases_the_sentence_is_the_annotations_own():
    keys = windows_of(annotated(0, 9)).order(0)
    assert {windows_of(annotated(0, 9))[key].instruction for key in keys} == {"open it"}
    strange = windows_of(annotated(0, 9, task="juggle"), paraphrases={"open_drawer": ("never",)})
    assert {strange[key].instruction for key in keys} == {"open it"}


def test_tasks_can_be_chosen():
    windows = windows_of(annotated(0, 9), annotated(9, 12, "turn_on_led"), tasks=("turn_on_led",))
    assert [annotation.task for annotation in windows.annotations] == ["turn_on_led"]
    assert len(windows) == 1
    with pytest.raises(DataError, match=r"annotated demonstrations of \['stack_block'\] in 'nowhere', found none"):
        windows_of(annotated(0, 9), tasks=("stack_block",))
    with pytest.raises(DataError, match="expected annotated demonstrations in 'nowhere', found none"):
        windows_of()


def test_no_more_is_read_than_a_window_needs():
    data = FakeDemonstrations([annotated(0, 1000)])
    windows = Windows(data, WindowSettings(num_frames=4, chunk_length=6, cameras=("static",)))
    window = windows[WindowKey(0, 30, 0)]
    first = frames_of(window)[0]
    assert list(window.images) == ["static"]
    assert window.robot_obs is None
    # A label before and one behind tell where the gripper changes.
    assert data.reads == [(first, first + 4, ("rgb_static",)), (first - 1, first + 10, ("rel_actions",))]


def test_calvins_layout_gives_windows_too(calvin_data):
    """Two annotations, of 41 and 55 frames; frame N has N / 1000 as x and N as red."""
    windows = Windows(CalvinLayout(calvin_data / "training"), WindowSettings(num_frames=8, chunk_length=4))
    assert len(windows) == 6 + 7
    window = windows[windows.order(0)[0]]
    numbers = np.round(window.actions[:, 0, 0] * 1000)
    assert window.images["static"][:, 3, 3, 0].tolist() == numbers.tolist()
    assert window.images["gripper"].shape == (8, 8, 8, 3)
