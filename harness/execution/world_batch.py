"""The worlds of one batch. They step together, and the policy answers all of them at once."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
from gymnasium.spaces import Space
from jaxtyping import Float64

from calvinbench.harness import clock
from calvinbench.harness.execution.executors import WorkerDiedError
from calvinbench.harness.execution.world_process import Reply, SharedObservations, WorldDiedError, WorldProcess
from calvinbench.harness.records.records import ChainRecord
from calvinbench.harness.rollout.attempts import WORLD_FAILED, Attempt, ChainQueue
from calvinbench.harness.rollout.diary import Diary, ErrorText
from calvinbench.harness.rollout.positions import Marker, Positions
from calvinbench.harness.rollout.step_rule import Decided, decide, executable_action, finish_step
from calvinbench.harness.rollout.time_limit import StepLimit
from calvinbench.harness.rollout.workers import WorkerSetup
from calvinbench.policies.policy import BatchedPolicy, State

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Running:
    """A running chain.

    Attributes:
        attempt: The chain.
        diary: Its notes.
        reply: Its world's last answer.
        action: Its last action; None before the first step.
        policy_seconds: Time that the policy took for the action.
    """

    attempt: Attempt
    diary: Diary
    reply: Reply = field(default_factory=Reply)
    action: Float64[np.ndarray, " action_dim"] | None = None
    policy_seconds: float = 0.0


@dataclass(slots=True)
class Slot:
    """A row of the batch with a world.

    Attributes:
        row: Its number.
        world: The world's process.
        running: The running chain; None without one.
        is_stepping: Whether the world still owes an answer.
    """

    row: int
    world: WorldProcess
    running: _Running | None = None
    is_stepping: bool = False


class WorldBatch:
    """A fixed number of rows, as a context manager. The policy's answer to a row without a chain is ignored."""

    def __init__(
        self,
        setup: WorkerSetup,
        policy: BatchedPolicy,
        spaces: Mapping[str, Space[Any]],
        batch_size: int,
        num_worlds: int,
        queue: ChainQueue,
        limit: StepLimit,
        positions: Positions | None = None,
        first_place: int = 0,
    ) -> None:
        """Starts the worlds.

        Args:
            setup: What worlds are made from.
            policy: The policy.
            spaces: Of one world's observations; only those that the policy reads.
            batch_size: Rows.
            num_worlds: How many rows have a world: the first ones.
            queue: Waiting chains, shared with other batches.
            limit: Of the policy's steps, in this process. The worlds' processes have their own limit.
            positions: Where progress is noted; None for nowhere.
            first_place: The index there of the batch's first world.
        """
        self._policy, self._queue, self._batch_size = policy, queue, batch_size
        self._alone = ChainQueue()
        self._observations = SharedObservations(spaces, batch_size)
        self._slots = [
            Slot(row, WorldProcess(setup, policy.traits, self._observations, row)) for row in range(num_worlds)
        ]
        self._state: State = policy.initial_state(batch_size, seeds=[0] * batch_size)
        self._forget = np.zeros(batch_size, dtype=bool)
        self._has_heard = False
        self._limit = limit
        self._positions, self._first_place = positions, first_place

    def __enter__(self) -> "WorldBatch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for slot in self._slots:
            slot.world.close(at_once=kind is not None)

    @property
    def stepping(self) -> list[Slot]:
        """Slots whose world has not answered yet."""
        return [slot for slot in self._slots if slot.is_stepping]

    @property
    def is_ready(self) -> bool:
        """Whether the policy can be asked: a chain is running, and every world has answered."""
        return bool(self._running()) and not self.stepping

    def _running(self) -> dict[int, _Running]:
        return {slot.row: slot.running for slot in self._slots if slot.running is not None}

    def take_jobs(self) -> None:
        """Gives waiting chains to idle worlds. A chain that must run alone waits until all worlds are idle."""
        if self._alone:
            if not self._running():
                self._begin(self._slots[0], self._alone.take())
            return
        for slot in self._slots:
            if slot.running is None and self._queue:
                self._begin(slot, self._queue.take())

    def _begin(self, slot: Slot, attempt: Attempt) -> None:
        marker = None if self._positions is None else Marker(self._positions, self._first_place + slot.row)
        diary = Diary(attempt.job, self._policy.traits.action_convention, marker=marker)
        slot.running = _Running(attempt, diary)
        fresh = self._policy.initial_state(1, seeds=[attempt.job.seed])
        self._state = self._policy.put_state(self._state, np.arange(self._batch_size) == slot.row, fresh)
        self._forget[slot.row] = False
        slot.world.reset(attempt.job)
        slot.is_stepping = True

    def act(self) -> Iterator[ChainRecord]:
        """Asks the policy and sends its actions to the worlds. Yields the records of chains that this ended."""
        running = self._running()
        began = clock.seconds()
        try:
            with self._limit.of_policy():
                decided = self._ask(running)
        except (Exception, SystemExit) as error:  # noqa: BLE001  an error is the chain's record, not the end of the run
            yield from self._blame(running, error)
            return
        took = clock.seconds() - began
        for row, chain in running.items():
            try:
                chain.action = executable_action(decided.actions[row], self._policy.traits.action_convention)
            except (ValueError, TypeError) as error:
                yield self._end(self._slots[row], chain, error)
                continue
            chain.policy_seconds = took
            self._slots[row].world.step(chain.action, looks=bool(decided.looks[row]))
            self._slots[row].is_stepping = True

    def _ask(self, running: dict[int, _Running]) -> Decided:
        """An action for every row. The images of a row without a chain are old, and count as rendered."""
        traits = self._policy.traits
        if self._forget.any():
            self._state = self._policy.reset_state(self._state, self._forget)
            self._forget = np.zeros(self._batch_size, dtype=bool)
        filler = next(iter(running.values()))
        replies = [running.get(row, filler).reply for row in range(self._batch_size)]
        is_rendered = [row not in running or reply.is_rendered for row, reply in enumerate(replies)]
        decided = decide(
            self._policy,
            self._observations.read(np.array(is_rendered)),
            [reply.status.instruction for reply in replies],
            self._state,
            [reply.privileged for reply in replies if reply.privileged is not None] if traits.privileged else None,
        )
        self._state = decided.state
        return decided

    def _blame(self, running: dict[int, _Running], error: BaseException) -> Iterator[ChainRecord]:
        """The policy raised an error. It ends a single chain; of several, each is tried alone."""
        for row, chain in running.items():
            if len(running) == 1:
                yield self._end(self._slots[row], chain, error)
                return
            self._alone.set_apart(chain.attempt, "the policy raised an error for several chains")
            chain.diary.leave()
            self._slots[row].running = None

    def hear(self, slot: Slot) -> Iterator[ChainRecord]:
        """Takes a world's answer. Yields the chain's record if the chain ended.

        Raises:
            WorkerDiedError: Every world dies before it has begun a chain.
        """
        chain, slot.is_stepping = slot.running, False
        if chain is None:
            return
        try:
            chain.reply = slot.world.receive()
        except WorldDiedError as error:
            yield from self._revive(slot, chain, error)
            return
        self._has_heard = True
        if chain.reply.error is not None:
            if not self._try_again(slot, chain, f"a world raised an error ({chain.reply.error.line})"):
                yield self._end(slot, chain, chain.reply.error)
        elif chain.action is None:
            chain.diary.begin_subtask(chain.reply.status.instruction)
        else:
            chain.diary.note_step(chain.action, chain.policy_seconds, chain.reply.seconds)
            reply, memory = chain.reply, self._policy.traits.memory
            self._forget[slot.row] = finish_step(chain.diary, reply.status, memory, is_over=reply.is_over)
            if reply.is_over:
                yield self._end(slot, chain)

    def _revive(self, slot: Slot, chain: _Running, error: WorldDiedError) -> Iterator[ChainRecord]:
        """Replaces a dead world. Its chain is tried again or ends."""
        slot.world.restart()
        if self._try_again(slot, chain, "a world died"):
            return
        if not self._has_heard:
            raise WorkerDiedError.at_start() from error
        yield self._end(slot, chain, error)

    def _try_again(self, slot: Slot, chain: _Running, what_happened: str) -> bool:
        """Queues a chain again after its world failed. False if it has had all its tries."""
        if not self._queue.retry(chain.attempt, WORLD_FAILED, what_happened):
            return False
        chain.diary.leave()
        slot.running = None
        return True

    def _end(self, slot: Slot, chain: _Running, error: BaseException | ErrorText | None = None) -> ChainRecord:
        """Frees the slot and returns the record of its chain."""
        slot.running = None
        if error is not None:
            chain.diary.note_error(error)
            _logger.warning("chain %d errored: %s", chain.attempt.job.number, chain.diary.error)
        return chain.diary.record()
