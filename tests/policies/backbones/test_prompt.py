"""Sequences of tokens: what they are made of, and how rows of different lengths are joined."""

import torch

from calvinbench.policies.backbones.prompts.prompt import Kind, Prompt, collate, image, lrn_token, words

SEQUENCE = words((5, 6)) + image("gripper", 9, 2) + image("static", 9, 1) + lrn_token(1)


def test_a_sequence_is_what_was_added_up():
    assert SEQUENCE.ids == (5, 6, 9, 9, 9, 1)
    assert SEQUENCE.kinds == (Kind.TEXT, Kind.TEXT, Kind.GRIPPER, Kind.GRIPPER, Kind.STATIC, Kind.LRN)
    assert len(SEQUENCE) == 6
    assert SEQUENCE.cameras == ("gripper", "static")
    assert words((5,)).cameras == ()
    assert Prompt() + SEQUENCE == SEQUENCE


def test_rows_are_padded_on_the_left_and_counted_from_their_own_beginning():
    short = words((7,)) + lrn_token(1)
    tokens = collate([SEQUENCE, short], pad_id=3, device=torch.device("cpu"))
    assert tokens.ids.tolist() == [[5, 6, 9, 9, 9, 1], [3, 3, 3, 3, 7, 1]]
    assert tokens.positions.tolist() == [[0, 1, 2, 3, 4, 5], [0, 0, 0, 0, 0, 1]]
    assert tokens.attended.tolist() == [[True] * 6, [False] * 4 + [True] * 2]
    assert tokens.is_vision.tolist() == [[False, False, True, True, True, False], [False] * 6]
    assert tokens.is_lrn[:, -1].all()
    assert tokens.is_lrn.sum() == 2


def test_padding_inside_a_sequence_takes_a_position_but_is_not_attended_to():
    inside = words((7,)) + Prompt((3,), (Kind.PADDING,)) + lrn_token(1)
    tokens = collate([inside], pad_id=3, device=torch.device("cpu"))
    assert tokens.positions.tolist() == [[0, 1, 2]]
    assert tokens.attended.tolist() == [[True, False, True]]
