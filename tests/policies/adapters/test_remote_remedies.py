"""What the errors of served policies advise is followed here, against a server that behaves so, and works."""

import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time

import numpy as np
import pytest
from websockets.sync.server import serve

from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.observation import Observation
from calvinbench.policies.adapters.remote.arrays import pack
from calvinbench.policies.adapters.remote.connection import RemotePolicyError
from calvinbench.policies.check import check_policy, made_up_observation
from calvinbench.policies.registry import make_policy
from calvinbench.policies.spec import PolicySpecError
from support.remote_server import served


def chunk_of(gripper):
    actions = np.zeros((len(gripper), 7))
    actions[:, 6] = gripper
    return actions


def act(policy, num_steps=1):
    seen = Observation.stack([made_up_observation(np.random.default_rng(0))], policy.traits.observation_keys)
    state, found = policy.initial_state(1), []
    for _ in range(num_steps):
        actions, state = policy.act(seen, ["open the drawer"], state)
        found.append(actions[0])
    return np.stack(found)


def answering(actions):
    return lambda observation, connection: pack({"actions": actions})


def advised(error):
    """The settings that a message writes as ',key=value'."""
    return re.findall(r"'(,[a-z_]+=[^']+)'", str(error))


@pytest.mark.parametrize(
    ("gripper", "expected"),
    [
        ([0.02, 0.98, 0.03], {",gripper=unit": [-1, 1, -1]}),
        ([0.0, 1.0, 0.0], {",gripper=unit": [-1, 1, -1]}),
        ([-0.8, 0.9, 0.1], {",gripper=sign": [-1, 1, 1]}),
        ([0.0, 0.08, 0.06], {",gripper=unit": [-1, -1, -1], ",gripper=threshold:0.04": [-1, 1, 1]}),
    ],
)
def test_remedy_gripper_numbers_are_read_as_the_error_advises(gripper, expected):
    with served(answering(chunk_of(gripper))) as (place, _):
        spec = f"ws://{place},chunk_rule=first:3"
        with pytest.raises(ValueError, match="exactly -1") as caught:
            act(make_policy(spec))
        assert advised(caught.value) == list(expected)
        for setting, numbers in expected.items():
            assert act(make_policy(spec + setting), 3)[:, 6].tolist() == numbers


def test_remedy_a_server_whose_gripper_is_the_other_way_round_takes_a_minus():
    with served(answering(chunk_of([0.97, 0.02]))) as (place, _):
        spec = f"ws://{place},chunk_rule=first:2"
        with pytest.raises(ValueError, match="'gripper=-unit', if high numbers close"):
            act(make_policy(spec))
        assert act(make_policy(f"{spec},gripper=-unit"), 2)[:, 6].tolist() == [-1, 1]


def test_a_pose_with_a_quaternion_is_read_as_calvin_models_are():
    import pybullet

    euler = [3.0, 0.1, 1.6]
    pose = np.array([[0.1, -0.1, 0.5, *pybullet.getQuaternionFromEuler(euler), 1.0]])
    with served(answering(pose)) as (place, _):
        policy = make_policy(f"ws://{place},actions=abs_actions")
        np.testing.assert_allclose(act(policy), [[0.1, -0.1, 0.5, *euler, 1.0]], atol=1e-7)
        check_policy(policy)


def test_eight_joints_stay_eight():
    joints = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0]])
    with served(answering(joints)) as (place, _):
        np.testing.assert_array_equal(act(make_policy(f"ws://{place},actions=abs_joints")), joints)


def test_remedy_eight_numbers_are_read_with_each_convention_that_the_error_advises():
    with served(answering(np.array([[0, 0, 0.5, 0, 0, 0, 1.0, 1.0]]))) as (place, _):
        with pytest.raises(ValueError, match=r"chunk_length, 7\) for 'rel_actions'") as caught:
            act(make_policy(f"ws://{place}"))
        assert advised(caught.value) == [",actions=rel_joints", ",actions=abs_joints", ",actions=abs_actions"]
        sizes = [act(make_policy(f"ws://{place}{setting}")).shape[1] for setting in advised(caught.value)]
        assert sizes == [8, 8, 7]


def test_remedy_a_late_answer_is_waited_for_with_more_timeout():
    def slow(observation, connection):
        time.sleep(0.5)
        return pack({"actions": chunk_of([1.0])})

    with served(slow) as (place, _):
        with pytest.raises(RemotePolicyError, match="',timeout=SECONDS' in the policy spec"):
            act(make_policy(f"ws://{place},timeout=0.1"))
        assert act(make_policy(f"ws://{place},timeout=30")).shape == (1, 7)


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def test_remedy_an_unreachable_server_is_started_or_waited_for():
    port = free_port()
    spec = f"ws://localhost:{port},connect_timeout="
    with pytest.raises(RemotePolicyError, match=r"Start it, .*',connect_timeout=SECONDS'"):
        make_policy(f"{spec}0.1")
    made = []
    waiting = threading.Thread(target=lambda: made.append(make_policy(f"{spec}30")))
    waiting.start()
    time.sleep(0.3)
    with served(answering(chunk_of([1.0])), port=port):
        waiting.join(30)
        assert act(made[0]).shape == (1, 7)


def test_remedy_a_server_that_wants_a_key_gets_it_from_the_environment(monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret")
    monkeypatch.setenv("OTHER_KEY", "wrong")
    with served(answering(chunk_of([1.0])), key="secret") as (place, _):
        with pytest.raises(RemotePolicyError, match="',api_key_env=VARIABLE' to the policy spec"):
            make_policy(f"ws://{place}")
        with pytest.raises(RemotePolicyError, match="Check the key"):
            make_policy(f"ws://{place},api_key_env=OTHER_KEY")
        assert act(make_policy(f"ws://{place},api_key_env=MY_KEY")).shape == (1, 7)
        monkeypatch.delenv("MY_KEY")
        with pytest.raises(PolicySpecError, match="Set it on each machine"):
            make_policy(f"ws://{place},api_key_env=MY_KEY")


def test_remedy_a_server_without_tls_is_reported_at_once():
    with served(answering(chunk_of([1.0]))) as (place, _):
        began = time.monotonic()
        with pytest.raises(RemotePolicyError, match="remove 'secure=true'"):
            make_policy(f"ws://{place},secure=true,connect_timeout=30")
        assert time.monotonic() - began < 15
        assert act(make_policy(f"ws://{place}")).shape == (1, 7)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_remedy_a_server_with_tls_is_reached_with_secure_and_its_certificate(tmp_path, monkeypatch):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with served(answering(chunk_of([1.0])), tls=tls) as (place, _):
        with pytest.raises(RemotePolicyError, match="if the server speaks TLS, add ',secure=true'"):
            make_policy(f"ws://{place},connect_timeout=0.1")
        with pytest.raises(RemotePolicyError, match="SSL_CERT_FILE to a file"):
            make_policy(f"ws://{place},secure=true")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert act(make_policy(f"ws://{place},secure=true")).shape == (1, 7)


def test_remedy_a_server_that_closes_the_connection_at_once_is_reached_once_it_is_fixed():
    port = free_port()
    with serve(lambda connection: connection.close(), "localhost", port) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(RemotePolicyError, match=r"closed the connection before it answered.*run the same command"):
            make_policy(f"ws://localhost:{port},connect_timeout=0.1")
        server.shutdown()
    with served(answering(chunk_of([1.0])), port=port):
        assert act(make_policy(f"ws://localhost:{port},connect_timeout=5")).shape == (1, 7)


def test_remedy_a_server_that_misses_an_observation_is_sent_its_names(tmp_path):
    def openpi(observation, connection):
        for key in ("observation/image", "observation/wrist_image", "observation/state"):
            if key not in observation:
                return f"Traceback:\nKeyError: '{key}'"
        return pack({"actions": chunk_of([1.0])})

    with served(openpi) as (place, _):
        with pytest.raises(RemotePolicyError, match="KeyError: 'observation/image'") as caught:
            act(make_policy(f"ws://{place}"))
        assert advised(caught.value) == [",keys=openpi", ",keys=FILE.json"]
        assert act(make_policy(f"ws://{place},keys=openpi")).shape == (1, 7)
        keys = {f"observation/{name}": ours for name, ours in (("image", "rgb_static"), ("state", "robot_obs"))}
        (tmp_path / "FILE.json").write_text(json.dumps(keys | {"observation/wrist_image": "rgb_gripper"}))
        assert act(make_policy(f"ws://{place},keys={tmp_path / 'FILE.json'}")).shape == (1, 7)


def test_an_error_of_another_kind_gets_no_advice_on_names():
    with (
        served(lambda observation, connection: "ValueError: broken") as (place, _),
        pytest.raises(RemotePolicyError, match=r"broken$"),
    ):
        act(make_policy(f"ws://{place}"))


def test_unknown_names_say_that_a_file_is_taken_too():
    with pytest.raises(UnknownNameError, match=r"or the path of a \.json file"):
        make_policy("ws://localhost:1,keys=mine")


@pytest.mark.parametrize(
    ("setting", "keys", "may_read"),
    [
        ("", {"rgb_static", "rgb_gripper", "robot_obs", "prompt"}, ("robot_obs",)),
        (",proprioception=true", {"rgb_static", "rgb_gripper", "robot_obs", "prompt"}, ()),
        (",proprioception=false", {"rgb_static", "rgb_gripper", "prompt"}, ()),
    ],
)
def test_the_robots_state_is_sent_unless_it_is_withheld(setting, keys, may_read):
    with served(answering(chunk_of([1.0]))) as (place, seen):
        policy = make_policy(f"ws://{place}{setting}")
        act(policy)
        assert set(seen[0]) == keys
        assert policy.traits.may_read == may_read
        assert ("robot_obs" in policy.traits.observation_keys) == ("robot_obs" in keys)


def test_remedy_a_state_that_is_said_to_be_used_must_be_sent(tmp_path):
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"top": "rgb_static", "text": "instruction"}))
    with served(answering(chunk_of([1.0]))) as (place, _):
        spec = f"ws://{place},keys={file}"
        with pytest.raises(PolicySpecError, match=r"Add it to the keys' file, or remove 'proprioception=true'"):
            make_policy(f"{spec},proprioception=true")
        assert make_policy(spec).traits.observation_keys == ("rgb_static",)
        file.write_text(json.dumps({"top": "rgb_static", "text": "instruction", "state": "robot_obs"}))
        traits = make_policy(f"{spec},proprioception=true").traits
        assert traits.observation_keys == ("rgb_static", "robot_obs")
        assert traits.may_read == ()


def test_remedy_an_answer_without_actions():
    answers = [{"action": chunk_of([1.0])}, {"actions": chunk_of([1.0])}]
    with served(lambda observation, connection: pack(answers.pop(0))) as (place, _):
        policy = make_policy(f"ws://{place}")
        with pytest.raises(ValueError, match="answer with a mapping whose 'actions' are an array"):
            act(policy)
        assert act(policy).shape == (1, 7)
