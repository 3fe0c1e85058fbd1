"""One step of a model as a policy takes it: the frame through the VLM, then its feature through the memory."""

from calvinbench.policies.learned.memory import make_memory


def model_step(model, pictures, sentences, state=None):
    """Chunks and next state, with the head's own state carried from step to step; None for nothing seen yet."""
    memory = make_memory("unbounded", model.head)
    before = memory.initial_state(len(sentences)) if state is None else state
    return memory.step(model.encode(pictures, sentences), before)
