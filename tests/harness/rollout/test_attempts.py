import pytest

from calvinbench.harness.rollout.attempts import REPLICA_LOST, WORKER_DIED, WORLD_FAILED, Attempt, ChainQueue
from calvinbench.harness.rollout.jobs import make_job
from support.fakes import CHAINS


@pytest.fixture
def jobs():
    return [make_job(number, chain, run_seed=0) for number, chain in enumerate(CHAINS[:3])]


@pytest.mark.parametrize(("rule", "num_tries"), [(WORLD_FAILED, 2), (WORKER_DIED, 2), (REPLICA_LOST, 3)])
def test_a_chain_is_tried_so_often_and_no_more(jobs, rule, num_tries):
    attempt = Attempt(jobs[0])
    answers = [attempt.may_try_again(rule, "it broke") for _ in range(num_tries)]
    assert answers == [True] * (num_tries - 1) + [False]


def test_a_chain_that_is_tried_again_comes_first_and_is_suspect(jobs):
    queue = ChainQueue(jobs)
    first = queue.take()
    assert not queue.next_is_suspect
    assert queue.retry(first, WORKER_DIED, "a worker died")
    assert queue.next_is_suspect
    assert [queue.take().job.number for _ in range(3)] == [0, 1, 2]
    assert not queue
    assert not queue.next_is_suspect


def test_a_chain_that_has_had_its_tries_does_not_wait_any_more(jobs):
    queue = ChainQueue(jobs[:1])
    assert queue.retry(queue.take(), WORLD_FAILED, "a world died")
    assert not queue.retry(queue.take(), WORLD_FAILED, "a world died")
    assert len(queue) == 0


def test_a_chain_that_never_started_or_is_set_apart_is_no_suspect(jobs):
    queue = ChainQueue(jobs[:1])
    queue.put_back(queue.take())
    assert not queue.next_is_suspect
    alone = ChainQueue()
    alone.set_apart(queue.take(), "the policy raised an error for several chains")
    assert not alone.next_is_suspect
    assert len(alone) == 1


def test_the_log_says_what_happened_and_what_is_done(jobs, caplog):
    Attempt(jobs[1]).may_try_again(WORLD_FAILED, "a world died")
    Attempt(jobs[2]).may_try_again(WORKER_DIED, "a worker died")
    assert caplog.messages == [
        "a world died; chain 1 is tried again.",
        "a worker died; chain 2 is tried again, alone.",
    ]
