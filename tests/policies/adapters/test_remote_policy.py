"""Policies behind a websocket, and servers that are late, gone, or not what they say."""

import json
import socket
import threading
import time

import msgpack
import numpy as np
import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.observation import Observation
from calvinbench.policies.adapters.remote.arrays import MessageError, pack, unpack
from calvinbench.policies.adapters.remote.connection import RemotePolicyError
from calvinbench.policies.check import check_policy, made_up_observation
from calvinbench.policies.looking import NotRenderedError
from calvinbench.policies.registry import make_policy
from calvinbench.policies.spec import PolicySpecError
from support.remote_server import served

CHUNK = np.linspace(-0.6, 0.6, 35).reshape(5, 7)
CHUNK[:, 6] = [1, 1, -1, -1, 1]


def constant(observation, connection):
    return pack({"actions": CHUNK, "server_timing": {"infer_ms": np.float64(3.0)}})


def observe(policy, seed=0):
    return Observation.stack([made_up_observation(np.random.default_rng(seed))], policy.traits.observation_keys)


def actions_of(policy, num_steps):
    state, found = policy.initial_state(1), []
    for step in range(num_steps):
        actions, state = policy.act(observe(policy, step), [f"sentence {step}"], state)
        found.append(actions[0])
    return np.stack(found)


# --- messages -------------------------------------------------------------------------------------------------------


def test_arrays_go_as_openpi_writes_them():
    """The keys are its `msgpack_numpy.py`'s, in bytes."""
    content = msgpack.unpackb(pack({"a": np.arange(6, dtype=np.uint8).reshape(2, 3), "b": np.float32(2.5), "c": "x"}))
    assert content["a"] == {b"__ndarray__": True, b"data": bytes(range(6)), b"dtype": "|u1", b"shape": [2, 3]}
    assert content["b"] == {b"__npgeneric__": True, b"data": 2.5, b"dtype": "<f4"}
    assert content["c"] == "x"


def test_what_is_packed_is_read_again():
    content = {"picture": np.random.default_rng(0).integers(0, 255, (4, 5, 3), dtype=np.uint8), "n": np.int64(-3)}
    found = unpack(pack(content | {"list": [1, "two", None], "empty": np.zeros((0, 7))}))
    np.testing.assert_array_equal(found["picture"], content["picture"])
    assert (found["n"], type(found["n"])) == (-3, np.int64)
    assert found["list"] == [1, "two", None]
    assert found["empty"].shape == (0, 7)


@pytest.mark.parametrize("value", [np.array([object()]), np.array([1j]), object(), {1, 2}])
def test_what_has_no_form_is_refused(value):
    with pytest.raises(MessageError, match="expected arrays, numbers and text"):
        pack({"x": value})


def lying(**changes):
    told = {b"__ndarray__": True, b"data": bytes(8), b"dtype": "<f4", b"shape": [2]} | {
        key.encode(): value for key, value in changes.items()
    }
    return msgpack.packb({"actions": told})


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (lying(shape=[3]), r"expected 12 bytes for an array of shape \(3,\) and kind float32, got 8"),
        (lying(shape=[-2]), "with bytes and a shape"),
        (lying(shape=None), "with bytes and a shape"),
        (lying(data="text"), "with bytes and a shape"),
        (lying(dtype="|O"), "numbers or text in an array, got kind"),
        (lying(dtype="nonsense"), "a kind of numbers, got 'nonsense'"),
        (b"\xc1", "a msgpack message, got 1 bytes that are none"),
        (b"", "a msgpack message, got 0 bytes that are none"),
    ],
)
def test_a_message_that_contradicts_itself_is_refused(message, words):
    with pytest.raises(MessageError, match=words):
        unpack(message)


# --- the policy -----------------------------------------------------------------------------------------------------


def test_the_server_sees_our_observations_and_its_first_action_is_executed():
    with served(constant, {"model": "m"}) as (place, seen):
        policy = make_policy(f"ws://{place}")
        assert policy.metadata == {"model": "m"}
        assert policy.traits.label == f"remote {place}"
        np.testing.assert_array_equal(actions_of(policy, 3), np.repeat(CHUNK[:1], 3, axis=0))
    assert [observation["prompt"] for observation in seen] == ["sentence 0", "sentence 1", "sentence 2"]
    expected = made_up_observation(np.random.default_rng(1))
    for key in ("rgb_static", "rgb_gripper", "robot_obs"):
        np.testing.assert_array_equal(seen[1][key], expected[key])
        assert seen[1][key].dtype == expected[key].dtype


def test_some_of_a_chunk_is_executed_before_the_server_is_asked_again():
    with served(constant) as (place, seen):
        policy = make_policy(f"ws://{place},chunk_rule=first:3")
        np.testing.assert_array_equal(actions_of(policy, 7), CHUNK[[0, 1, 2, 0, 1, 2, 0]])
        assert len(seen) == 3
        state = policy.act(observe(policy), ["x"], policy.initial_state(1)).state
        assert len(state.pending) == 2
        assert len(policy.reset_state(state, np.array([True])).pending) == 0
        assert policy.reset_state(state, np.array([False])) is state


def test_a_chunk_shorter_than_asked_for_is_asked_for_again_when_it_ends():
    with served(lambda observation, connection: pack({"actions": CHUNK[:2]})) as (place, seen):
        actions_of(make_policy(f"ws://{place},chunk_rule=first:4"), 4)
        assert len(seen) == 2


def test_servers_have_names_and_sizes_of_their_own(tmp_path):
    with served(constant) as (place, seen):
        for key in ("image_size", "picture_size"):  # the second is its old name
            actions_of(make_policy(f"ws://{place},keys=openpi,{key}=32"), 1)
            assert set(seen[-1]) == {"observation/image", "observation/wrist_image", "observation/state", "prompt"}
            assert seen[-1]["observation/image"].shape == seen[-1]["observation/wrist_image"].shape == (32, 32, 3)
        (tmp_path / "keys.json").write_text(json.dumps({"top": "rgb_static", "text": "instruction"}))
        policy = make_policy(f"ws://{place},keys={tmp_path / 'keys.json'},label=mine")
        assert policy.traits.observation_keys == ("rgb_static",)
        assert policy.traits.label == "mine"
        actions_of(policy, 1)
        assert set(seen[-1]) == {"top", "text"}


def test_it_keeps_to_the_interface():
    with served(constant) as (place, _):
        check_policy(make_policy(f"ws://{place}"))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"action": CHUNK}, r"expected an answer with 'actions' from the policy server, got \['action'\]"),
        ([1, 2], "with 'actions' from the policy server, got list"),
        ({"actions": np.zeros((5, 6))}, r"actions of shape \(chunk_length, 7\) for 'rel_actions' .* got \(5, 6\)"),
        ({"actions": np.zeros((2, 5, 7))}, r"got \(2, 5, 7\)"),
        ({"actions": np.zeros((0, 7))}, r"got \(0, 7\)"),
        ({"actions": "forward"}, "expected numbers as actions"),
        ({"actions": np.full((1, 7), np.nan)}, "expected finite numbers"),
        ({"actions": np.full((1, 7), 0.5)}, r"exactly -1 \(close\) or \+1 \(open\), got 0\.5"),
    ],
)
def test_answers_that_are_no_actions_are_refused_in_words(answer, words):
    with served(lambda observation, connection: pack(answer)) as (place, _):
        policy = make_policy(f"ws://{place}")
        with pytest.raises(ValueError, match=words):
            actions_of(policy, 1)


def test_one_action_or_a_batch_of_one_chunk_is_taken_too():
    for actions in (CHUNK[0], CHUNK[None], CHUNK.astype(np.float32)):
        with served(lambda observation, connection, actions=actions: pack({"actions": actions})) as (place, _):
            np.testing.assert_allclose(actions_of(make_policy(f"ws://{place}"), 1)[0], CHUNK[0], atol=1e-6)


def test_the_grippers_sign_may_count():
    chunk = np.zeros((2, 7))
    chunk[:, 6] = [0.2, -0.1]
    with served(lambda observation, connection: pack({"actions": chunk})) as (place, _):
        found = actions_of(make_policy(f"ws://{place},gripper=sign,chunk_rule=first:2"), 2)
        assert found[:, 6].tolist() == [1.0, -1.0]


# --- servers that go wrong ------------------------------------------------------------------------------------------


def test_a_servers_traceback_is_told():
    told = "Traceback\nValueError: no such picture"
    with served(lambda observation, connection: told) as (place, _):
        policy = make_policy(f"ws://{place}")
        with pytest.raises(RemotePolicyError, match=f"raised an error:\n{told}"):
            actions_of(policy, 1)


def test_a_server_that_is_late_is_given_up_and_its_late_answer_is_not_taken_for_another():
    def slow(observation, connection):
        if observation["prompt"] == "sentence 0":
            time.sleep(0.6)
            return pack({"actions": -CHUNK})
        return constant(observation, connection)

    with served(slow) as (place, _):
        policy = make_policy(f"ws://{place},timeout=0.2")
        with pytest.raises(RemotePolicyError, match=r"within 0\.2 s, got none.*timeout=SECONDS"):
            actions_of(policy, 1)
        time.sleep(0.6)
        actions, _ = policy.act(observe(policy), ["another"], policy.initial_state(1))
        np.testing.assert_array_equal(actions[0], CHUNK[0])


def test_a_line_that_is_cut_is_taken_up_again_with_the_same_question():
    cut = []

    def cutting(observation, connection):
        if observation["prompt"] == "sentence 1" and not cut:
            cut.append(True)
            connection.socket.shutdown(socket.SHUT_RDWR)
            return None
        return constant(observation, connection)

    with served(cutting) as (place, seen):
        np.testing.assert_array_equal(actions_of(make_policy(f"ws://{place}"), 3), np.repeat(CHUNK[:1], 3, axis=0))
    assert [observation["prompt"] for observation in seen] == [f"sentence {step}" for step in (0, 1, 1, 2)]


def test_a_server_that_closes_the_connection_each_time_is_given_up():
    def cutting(observation, connection):
        connection.socket.shutdown(socket.SHUT_RDWR)

    with served(cutting) as (place, seen):
        with pytest.raises(RemotePolicyError, match="closed the connection before it answered"):
            actions_of(make_policy(f"ws://{place}"), 1)
        assert len(seen) == 2


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def test_a_server_that_is_not_there_is_named():
    port = free_port()
    with pytest.raises(RemotePolicyError, match=rf"ws://localhost:{port} within 0\.1 s, found none"):
        make_policy(f"ws://localhost:{port},connect_timeout=0.1")


def test_a_server_that_starts_late_is_waited_for():
    port, made = free_port(), []
    thread = threading.Thread(target=lambda: made.append(make_policy(f"ws://localhost:{port},connect_timeout=20")))
    thread.start()
    time.sleep(0.3)
    with served(constant, port=port):
        thread.join(20)
        assert actions_of(made[0], 1).shape == (1, 7)


def test_what_is_no_policy_server_is_told():
    port = free_port()
    with socket.create_server(("localhost", port)) as server:

        def speak_http():
            connection, _ = server.accept()
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=speak_http, daemon=True).start()
        with pytest.raises(RemotePolicyError, match=r"but something else answers there: .*404"):
            make_policy(f"ws://localhost:{port},connect_timeout=0.1")


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("ws:localhost", PolicySpecError, "an address ws://host:port"),
        ("ws://x,chunk_rule=ensemble", PolicySpecError, "first or first:K for a remote policy"),
        ("ws://x,timeout=0", PolicySpecError, "seconds above 0 for setting 'timeout', got '0'"),
        ("ws://x,keys=openpy", UnknownNameError, "Did you mean 'openpi'"),
        ("ws://x,gripper=round", UnknownNameError, "setting gripper"),
        ("ws://x,keys=nowhere.json", PolicySpecError, "a JSON file of keys"),
        ("ws://x,actions=relative", UnknownNameError, "action convention"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_before_anything_is_opened(spec, error, words):
    with pytest.raises(error, match=words):
        make_policy(spec)


def test_a_key_comes_from_the_environment_and_reaches_the_server(monkeypatch):
    monkeypatch.setenv("POLICY_KEY", "secret")
    with served(constant, key="secret") as (place, seen):
        policy = make_policy(f"ws://{place},api_key_env=POLICY_KEY")
        actions_of(policy, 1)
        assert len(seen) == 1
        with pytest.raises(RemotePolicyError, match="401"):
            make_policy(f"ws://{place}")


def test_a_key_that_is_nowhere_is_named(monkeypatch):
    monkeypatch.delenv("POLICY_KEY", raising=False)
    with pytest.raises(PolicySpecError, match=r"variable POLICY_KEY .* found none\. Set it on each machine"):
        make_policy("ws://localhost:1,api_key_env=POLICY_KEY")


def test_images_are_not_needed_while_actions_are_pending():
    with served(constant) as (place, seen):
        policy = make_policy(f"ws://{place},chunk_rule=first:3")
        state, looks, marks = policy.initial_state(1), np.ones(1, dtype=bool), []
        for step in range(7):
            marks.append(bool(looks[0]))
            actions, state = policy.act(observe(policy, step).with_images_of(looks), ["sentence"], state)
            np.testing.assert_allclose(actions[0], CHUNK[step % 3])
            looks = policy.looks_next(state)
        assert marks == [True, False, False, True, False, False, True]
        assert len(seen) == 3
        with pytest.raises(NotRenderedError, match=r"the images of worlds \[0\], but they are not there"):
            policy.act(observe(policy).with_images_of(np.zeros(1, dtype=bool)), ["sentence"], policy.initial_state(1))
