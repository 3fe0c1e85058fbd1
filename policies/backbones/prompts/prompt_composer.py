"""From an instruction to the sequence of tokens that a VLM sees: the part of a backbone that handles text."""

from abc import ABC, abstractmethod
from typing import ClassVar

from transformers import PreTrainedTokenizerBase

from calvinbench.policies.backbones.prompts.prompt import Prompt, image, lrn_token, words
from calvinbench.policies.backbones.settings import MAX_POOLING, BackboneSettings


class PromptComposer(ABC):
    """Composes a backbone's sequences. Each family defines `compose`, with its own tokenizer."""

    name: ClassVar[str]
    """Name in tables and specs."""
    num_image_tokens: int
    """Number of vision tokens of one image."""
    image_token_id: int
    """The placeholder of a vision token in the sequence of ids."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, settings: BackboneSettings) -> None:
        self.tokenizer = tokenizer
        self.settings = settings
        self._prompts: dict[str, Prompt] = {}

    @abstractmethod
    def compose(self, instruction: str) -> Prompt:
        """The sequence of a sentence in the layout of the settings, always with [LRN]."""

    def prompt(self, instruction: str) -> Prompt:
        """The sequence of a sentence, composed once and then cached. Space around the sentence does not matter.

        Raises:
            ValueError: The sentence is empty.
        """
        sentence = instruction.strip()
        if not sentence:
            raise ValueError("expected an instruction such as 'open the drawer', got an empty one.")
        if sentence not in self._prompts:
            self._prompts[sentence] = self.compose(sentence)
        return self._prompts[sentence]

    def text_ids(self, text: str, *, special: bool = False) -> tuple[int, ...]:
        """Token ids of a piece of text.

        Args:
            text: The text.
            special: Whether names of special tokens in it mean those tokens. False for a user's sentence, in which
                `<image>` is plain text.
        """
        return tuple(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not special))

    def special_id(self, token: str) -> int:
        """The id of a special token.

        Raises:
            ValueError: The tokenizer does not have it.
        """
        number = self.tokenizer.get_vocab().get(token)
        if number is None:
            raise ValueError(
                f"expected a tokenizer of {self.name} with the token '{token}', got one without it. "
                "The folder's tokenizer belongs to another model. Use tokenizer and model of one source."
            )
        return int(number)

    @property
    def bos_id(self) -> int:
        """The token that begins a sequence."""
        return self._required_id("bos_token_id")

    @property
    def eos_id(self) -> int:
        """The token that ends a sequence."""
        return self._required_id("eos_token_id")

    def _required_id(self, which: str) -> int:
        number = getattr(self.tokenizer, which)
        if number is None:
            raise ValueError(f"expected a tokenizer of {self.name} with a {which}, got one without it.")
        return int(number)

    @property
    def pad_id(self) -> int:
        """The padding token. No token attends to it."""
        for number in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id, 0):
            if number is not None:
                return int(number)
        raise AssertionError

    def image(self, camera: str) -> Prompt:
        """The tokens of one camera's image; empty if the settings leave that camera out."""
        if camera not in self.settings.cameras:
            return Prompt()
        return image(camera, self.image_token_id, self.num_image_tokens)

    picture = image
    """The old name of `image`, for backbones that use it."""

    def words(self, text: str, *, special: bool = False) -> Prompt:
        """Tokens of a piece of text; see `text_ids`."""
        return words(self.text_ids(text, special=special))

    def lrn_place(self) -> Prompt:
        """The token [LRN]; empty if it is not read."""
        return Prompt() if self.settings.readout == MAX_POOLING else lrn_token(self.pad_id)


def seed_prompt(backbone: PromptComposer, instruction: str, begin: Prompt) -> Prompt:
    """The seed's sequence: [begin] [text] [static camera] [gripper camera] [LRN]."""
    vision = backbone.image("static") + backbone.image("gripper")
    return begin + backbone.words(instruction) + vision + backbone.lrn_place()


def refuse_layout(backbone: PromptComposer, reason: str) -> ValueError:
    """The error for a layout that a family does not have."""
    return ValueError(f"expected another layout than '{backbone.settings.layout}' for {backbone.name}: {reason}")
