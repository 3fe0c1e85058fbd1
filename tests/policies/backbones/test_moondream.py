"""What is particular to Moondream, and the comparison with the public code where a checkout of it is at hand."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from calvinbench.policies.backbones.backbone import Backbone
from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.backbones.moondream.moondream import MoondreamBackbone
from calvinbench.policies.backbones.prompts.prompt import Kind, Layout, collate
from calvinbench.policies.backbones.prompts.tiny_tokenizer import tiny_tokenizer
from calvinbench.policies.backbones.settings import BackboneSettings
from calvinbench.policies.backbones.weights.sources import BackboneSourceError

SENTENCES = ["open the drawer", "go push the red block to the right, then lift it up"]
RELEASE = "211cc2f"
"""The public repository's commit "release 2024-08-26"."""
NEWEST = "44146f1"
"""Its last commit of June 2025, with weights under new names."""


# --- made here --------------------------------------------------------------------------------------------------------


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(layout: str = "native", **settings: object) -> MoondreamBackbone:
    backbone = MoondreamBackbone.tiny(generator(0), BackboneSettings(layout=Layout(layout), **settings))
    assert isinstance(backbone, MoondreamBackbone)
    return backbone.eval()


@pytest.fixture
def images() -> CameraImages:
    """Two frames that are no noise: gradients of different directions."""
    across = torch.linspace(0, 255, 200).expand(200, 200)
    static = torch.stack([across, across.T, 255 - across], dim=-1)
    gripper = torch.stack([across.T, across, across.flip(0)], dim=-1)[:84, :84]
    as_bytes = [torch.stack([one, one.flip(0)]).to(torch.uint8) for one in (static, gripper)]
    return CameraImages(*as_bytes)


@pytest.fixture
def lrn() -> Tensor:
    return torch.randn(128, generator=generator(1))


def relative(got: Tensor, expected: Tensor) -> float:
    return float((got - expected).norm() / expected.norm())


def kinds(backbone: Backbone, instruction: str) -> str:
    """One letter a token: Text, Static, Gripper, Lrn; repeated letters of images made one."""
    letters = "".join("TSGLP"[kind] for kind in backbone.prompt(instruction).kinds)
    num = backbone.num_image_tokens
    return letters.replace("S" * num, "S").replace("G" * num, "G")


def text_of(backbone: Backbone, instruction: str) -> str:
    prompt = backbone.prompt(instruction)
    return backbone.tokenizer.decode([i for i, kind in zip(prompt.ids, prompt.kinds, strict=True) if kind == Kind.TEXT])


@torch.no_grad()
def test_full_model_has_the_published_size():
    with torch.device("meta"):
        backbone = MoondreamBackbone(
            MoondreamBackbone.full_config(), tiny_tokenizer(MoondreamBackbone.special_tokens), BackboneSettings()
        )
    sizes = {name: sum(one.numel() for one in part.parameters()) for name, part in backbone.named_children()}
    assert sizes == {"vision": 412_987_248, "connector": 35_661_824, "language": 1_313_361_920}
    assert (backbone.num_image_tokens, backbone.width, backbone.image_size) == (729, 2048, 378)
    assert backbone.language.layers[0].self_attn.rotary_ndims == 32


def test_configuration_is_numbers_that_make_the_same_architecture():
    backbone = make()
    again = MoondreamBackbone.from_config(
        json.loads(json.dumps(backbone.config)), backbone.tokenizer, BackboneSettings(layout=Layout.NATIVE)
    )
    again.load_state_dict(backbone.state_dict())
    assert again.config == backbone.config
    assert all(backbone.config[part].keys() == backbone.full_config()[part].keys() for part in backbone.config)


def test_unknown_and_missing_numbers_are_named():
    config = make().config
    config["vision"]["depth"] = config["vision"].pop("num_hidden_layers")
    with pytest.raises(
        ValueError, match=r"missing are \['vision.num_hidden_layers'\], and unknown are \['vision.depth'\]"
    ):
        MoondreamBackbone.from_config(config, tiny_tokenizer(("<|endoftext|>",)), BackboneSettings())


def test_another_image_size_is_refused():
    with pytest.raises(ValueError, match="expected image_size 56 or none"):
        make(image_size=112)
    assert make(image_size=56).image_size == 56


@pytest.mark.parametrize(
    ("layout", "order", "text"),
    [
        ("seed", "TTTTTSGL", "<|endoftext|>open the drawer"),
        ("native", None, "<|endoftext|>\n\nQuestion: open the drawer\n\nAnswer:"),
        ("robovlms", "TGSTTTLT", "<|endoftext|>open the drawer"),
    ],
)
def test_layouts(layout: str, order: str | None, text: str):
    backbone = make(layout)
    assert text_of(backbone, "open the drawer") == text
    letters = kinds(backbone, "open the drawer")
    if order is None:
        assert letters.startswith("TSGT")
        assert letters.endswith("TL")
    else:
        assert letters == order


def test_one_camera_and_pooling():
    assert kinds(make("seed", cameras=("static",)), "open the drawer") == "TTTTTSL"
    assert kinds(make("robovlms", readout="max-pooling"), "open the drawer") == "TGSTTTT"


def test_a_special_token_in_a_sentence_is_letters():
    backbone = make()
    ids = backbone.prompt("say <|endoftext|>").ids
    # The placeholder of images has the same id: count it outside of them.
    text = [i for i, kind in zip(ids, backbone.prompt("say <|endoftext|>").kinds, strict=True) if kind == Kind.TEXT]
    assert text.count(backbone.special_id("<|endoftext|>")) == 1


@pytest.mark.parametrize("layout", ["seed", "native", "robovlms"])
@torch.no_grad()
def test_a_sample_alone_equals_itself_in_a_padded_batch(layout: str, images: CameraImages, lrn: Tensor):
    backbone = make(layout)
    together = backbone(images, SENTENCES, lrn)
    for row in (0, 1):
        one = CameraImages(images.static[row : row + 1], images.gripper[row : row + 1])
        alone = backbone(one, SENTENCES[row : row + 1], lrn)
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=0)


@pytest.mark.parametrize("layout", ["seed", "native", "robovlms"])
@torch.no_grad()
def test_cameras_and_sentences_and_lrn_are_told_apart(layout: str, images: CameraImages, lrn: Tensor):
    backbone = make(layout)
    feature = backbone(images, SENTENCES, lrn)
    side = functional.interpolate(images.gripper.movedim(-1, 1).float(), (200, 200)).to(torch.uint8).movedim(1, -1)
    swapped = CameraImages(side, images.static)
    assert relative(backbone(swapped, SENTENCES, lrn), feature) > 0.01
    assert relative(backbone(images, SENTENCES[::-1], lrn), feature) > 0.1
    assert relative(backbone(images, SENTENCES, -lrn), feature) > 0.1


@torch.no_grad()
def test_robovlms_layout_does_not_see_the_last_token_and_reads_before_the_norm(images: CameraImages, lrn: Tensor):
    backbone = make("robovlms")
    drawer, red = "open the drawer", "open the red"
    assert len(backbone.text_ids(drawer)) == len(backbone.text_ids(red)) == 4
    feature = backbone(images, [drawer, drawer], lrn)
    torch.testing.assert_close(backbone(images, [red, red], lrn), feature, atol=1e-6, rtol=0)
    assert relative(functional.layer_norm(feature, (128,)), feature) > 0.1
    native = make("native")(images, SENTENCES, lrn)
    torch.testing.assert_close(functional.layer_norm(native, (128,)), native, atol=1e-4, rtol=0)


def test_gradient_reaches_all_weights(images: CameraImages, lrn: Tensor):
    backbone = make().train()
    backbone.enable_gradient_checkpointing()
    lrn.requires_grad_()
    backbone(images, SENTENCES, lrn).square().mean(0)[:3].sum().backward()
    assert lrn.grad is not None
    assert lrn.grad.norm() > 0
    without = [name for name, one in backbone.named_parameters() if one.grad is None or not one.grad.norm() > 0]
    assert without == []


# --- the published folder ---------------------------------------------------------------------------------------------


def published_weights(backbone: MoondreamBackbone) -> dict[str, Tensor]:
    """The weights under the names of the public code of 2024, written down here once more."""
    state = backbone.state_dict()
    ends = ("weight", "bias")
    vision, text = "vision_encoder.encoder.model.visual", "text_model.transformer"
    patch = state["vision.embeddings.patch_embedding.weight"]
    weights = {
        f"{vision}.patch_embed.linear.weight": patch.flatten(1),
        f"{vision}.patch_embed.linear.bias": state["vision.embeddings.patch_embedding.bias"],
        f"{vision}.pos_embed": state["vision.embeddings.position_embedding.weight"][None],
        f"{text}.embd.wte.weight": state["language.embed_tokens.weight"],
        "text_model.lm_head.linear.weight": torch.zeros(8, backbone.width),
        "text_model.lm_head.linear.bias": torch.zeros(8),
        "region_model.position_features.weight": torch.zeros(128, 2),
        "region_model.size_decoder.bias": torch.zeros(2),
    }
    for end in ends:
        weights[f"{vision}.norm.{end}"] = state[f"vision.post_layernorm.{end}"]
        weights[f"text_model.lm_head.ln.{end}"] = state[f"language.final_layernorm.{end}"]
        for layer in ("fc1", "fc2"):
            weights[f"vision_encoder.projection.mlp.{layer}.{end}"] = state[f"connector.{layer}.{end}"]
    for number in range(2):
        for end in ends:
            ours, theirs = f"vision.encoder.layers.{number}", f"{vision}.blocks.{number}"
            weights[f"{theirs}.norm1.{end}"] = state[f"{ours}.layer_norm1.{end}"]
            weights[f"{theirs}.norm2.{end}"] = state[f"{ours}.layer_norm2.{end}"]
            weights[f"{theirs}.attn.qkv.{end}"] = torch.cat([state[f"{ours}.self_attn.{x}_proj.{end}"] for x in "qkv"])
            weights[f"{theirs}.attn.proj.{end}"] = state[f"{ours}.self_attn.out_proj.{end}"]
            weights[f"{theirs}.mlp.fc1.{end}"] = state[f"{ours}.mlp.fc1.{end}"]
            weights[f"{theirs}.mlp.fc2.{end}"] = state[f"{ours}.mlp.fc2.{end}"]
            ours, theirs = f"language.layers.{number}", f"{text}.h.{number}"
            weights[f"{theirs}.ln.{end}"] = state[f"{ours}.input_layernorm.{end}"]
            weights[f"{theirs}.mixer.Wqkv.{end}"] = torch.cat(
                [state[f"{ours}.self_attn.{x}_proj.{end}"] for x in "qkv"]
            )
            weights[f"{theirs}.mixer.out_proj.{end}"] = state[f"{ours}.self_attn.dense.{end}"]
            weights[f"{theirs}.mlp.fc1.{end}"] = state[f"{ours}.mlp.fc1.{end}"]
            weights[f"{theirs}.mlp.fc2.{end}"] = state[f"{ours}.mlp.fc2.{end}"]
    return weights


def write_folder(folder: Path, backbone: MoondreamBackbone, weights: dict[str, Tensor], **config: object) -> None:
    numbers = {f"{part}_config": values for part, values in backbone.config.items()}
    (folder / "config.json").write_text(json.dumps({"model_type": "moondream1", **numbers, **config}))
    backbone.tokenizer.save_pretrained(folder)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / "model.safetensors")


def randomised(backbone: MoondreamBackbone) -> MoondreamBackbone:
    """All weights drawn, biases and norms too, so that none can be mistaken for another."""
    drawn = generator(5)
    with torch.no_grad():
        for weight in backbone.parameters():
            weight += torch.randn(weight.shape, generator=drawn) * 0.1
    return backbone


@torch.no_grad()
def test_published_names_load_back_exactly(tmp_path: Path, images: CameraImages, lrn: Tensor):
    backbone = randomised(make())
    write_folder(tmp_path, backbone, published_weights(backbone))
    loaded = MoondreamBackbone.pretrained(tmp_path, BackboneSettings(layout=Layout.NATIVE), torch.float32).eval()
    assert loaded.config == backbone.config
    state = backbone.state_dict()
    assert loaded.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.state_dict().items())
    assert torch.equal(loaded(images, SENTENCES, lrn), backbone(images, SENTENCES, lrn))
    raw = MoondreamBackbone.pretrained(tmp_path, BackboneSettings(layout=Layout.ROBOVLMS), torch.float32)
    assert state.keys() - raw.state_dict().keys() == {
        "language.final_layernorm.weight",
        "language.final_layernorm.bias",
    }


def test_loading_in_half_precision_leaves_the_table_of_frequencies(tmp_path: Path):
    backbone = make()
    write_folder(tmp_path, backbone, {name: one.half() for name, one in published_weights(backbone).items()})
    loaded = MoondreamBackbone.pretrained(tmp_path, BackboneSettings(), torch.bfloat16)
    assert {one.dtype for one in loaded.parameters()} == {torch.bfloat16}
    assert torch.equal(loaded.language.rotary_emb.inv_freq, backbone.language.rotary_emb.inv_freq)
    assert torch.get_default_dtype() == torch.float32


def test_names_that_do_not_fit_are_named(tmp_path: Path):
    backbone = make()
    weights = published_weights(backbone)
    weights["text_model.transformer.h.7.ln.weight"] = weights.pop("text_model.transformer.h.1.ln.weight")
    weights["vision_encoder.extra"] = torch.zeros(1)
    weights["text_model.transformer.embd.wte.weight"] = torch.zeros(9, 128)
    write_folder(tmp_path, backbone, weights)
    with pytest.raises(BackboneSourceError) as caught:
        MoondreamBackbone.pretrained(tmp_path, BackboneSettings(), torch.float32)
    message = str(caught.value)
    assert "missing ['language.layers.1.input_layernorm.weight']" in message
    assert "left over ['language.layers.7.input_layernorm.weight']" in message
    assert "language.embed_tokens.weight (9, 128) for" in message
    assert "['vision_encoder.extra']" in message


def test_the_newer_names_are_refused_in_words(tmp_path: Path):
    backbone = make()
    write_folder(tmp_path, backbone, {"model.vision.blocks.0.ln1.weight": torch.zeros(3)})
    with pytest.raises(BackboneSourceError, match=r"names of 2025.*revision 2024-08-26"):
        MoondreamBackbone.pretrained(tmp_path, BackboneSettings(), torch.float32)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "phi"}, "'moondream1'.*got 'phi'"),
        ({"text_config": {"rope_scaling": {"type": "linear", "factor": 2.0}}}, "rope_scaling = None"),
        ({"text_config": {"num_key_value_heads": 8}}, "num_key_value_heads = 32"),
    ],
)
def test_another_configuration_is_refused(tmp_path: Path, config: dict[str, object], message: str):
    write_folder(tmp_path, make(), {"x": torch.zeros(1)}, **config)
    with pytest.raises(BackboneSourceError, match=message):
        MoondreamBackbone.pretrained(tmp_path, BackboneSettings(), torch.float32)


def test_a_folder_without_files_is_refused(tmp_path: Path):
    with pytest.raises(BackboneSourceError, match=r"config\.json"):
        MoondreamBackbone.pretrained(tmp_path, BackboneSettings(), torch.float32)
    (tmp_path / "config.json").write_text('{"model_type": "moondream1"}')
    make().tokenizer.save_pretrained(tmp_path)
    with pytest.raises(BackboneSourceError, match="safetensors"):
        MoondreamBackbone.pretrained(tmp_path, BackboneSettings(), torch.float32)


# --- beside the public code -------------------------------------------------------------------------------------------

WIDTH = 32
"""Of the small model that both run; the grid of 27 by 27 patches is fixed in the public code, and so kept."""


@pytest.fixture(scope="module")
def references() -> Path:
    """The folder of checkouts of public code."""
    folder = os.environ.get("CALVINBENCH_REFERENCES")
    if not folder or not (Path(folder) / "moondream").is_dir():
        pytest.skip("no public code to compare with: CALVINBENCH_REFERENCES names no folder that holds `moondream`")
    return Path(folder)


def public_file(references: Path, commit: str, path: str) -> str:
    """A file of the public repository's history."""
    command = ["git", "-c", "safe.directory=*", "-C", str(references / "moondream"), "show", f"{commit}:{path}"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    if shown.returncode:
        pytest.skip(f"the checkout of moondream lacks {path} at {commit}: {shown.stderr.strip()}")
    return shown.stdout


def import_package(folder: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Writes files as a package of its own and imports them."""
    package = folder / f"public_{folder.name}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    return SimpleNamespace(**{name: importlib.import_module(f"{package.name}.{name}") for name in files})


@pytest.fixture
def release(references: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The modules of the release of 2024-08-26, its widths made small, its imports that are not here made empty."""
    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.v2", "einops"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for name in ("Compose", "Resize", "InterpolationMode", "ToImage", "ToDtype", "Normalize"):
        setattr(sys.modules["torchvision.transforms.v2"], name, None)
    sys.modules["einops"].rearrange = None
    masks = ModuleType("transformers.modeling_attn_mask_utils")  # used by its SDPA attention only
    masks.AttentionMaskConverter = None
    monkeypatch.setitem(sys.modules, masks.__name__, masks)
    files = {
        name: public_file(references, RELEASE, f"moondream/{name}.py")
        for name in (
            "configuration_moondream",
            "fourier_features",
            "modeling_phi",
            "region_model",
            "vision_encoder",
            "moondream",
        )
    }
    vision = files["vision_encoder"]
    for published, small in {"1152": str(WIDTH), "4304": "48", "2048": str(2 * WIDTH), "range(27)": "range(3)"}.items():
        assert published in vision
        vision = vision.replace(published, small)
    files["vision_encoder"] = vision
    return import_package(tmp_path, files, monkeypatch)


def small_config(num_layers: int = 3) -> dict[str, dict[str, object]]:
    """The numbers of the small model, with the published grid and the published proportions of heads."""
    full = MoondreamBackbone.full_config()
    vision = {"hidden_size": WIDTH, "intermediate_size": 48, "num_hidden_layers": num_layers}
    text = {
        "vocab_size": 600,
        "hidden_size": 2 * WIDTH,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "initializer_range": 0.2,
    }
    connector = {"hidden_size": 8 * WIDTH}
    return {"vision": full["vision"] | vision, "connector": connector, "text": full["text"] | text}


def small(config: dict[str, dict[str, object]], layout: str = "native") -> MoondreamBackbone:
    torch.manual_seed(3)
    tokenizer = tiny_tokenizer(MoondreamBackbone.special_tokens)
    backbone = MoondreamBackbone(config, tokenizer, BackboneSettings(layout=Layout(layout)))
    return randomised(backbone).eval()


def ours_from(public: dict[str, Tensor], config: dict[str, dict[str, object]], folder: Path) -> MoondreamBackbone:
    """A backbone with the weights of a public module, loaded as published ones are."""
    backbone = small(config)
    write_folder(folder, backbone, public)
    return MoondreamBackbone.pretrained(folder, BackboneSettings(layout=Layout.NATIVE), torch.float32).eval()


def public_release(release: SimpleNamespace, **text: object) -> SimpleNamespace:
    """Vision encoder and text model of the release with all weights drawn."""
    torch.manual_seed(11)
    vision = release.vision_encoder.VisionEncoder()
    config = release.configuration_moondream.PhiConfig(**text, pad_token_id=None, attn_implementation="eager")
    config.rope_parameters = None  # transformers 5 puts its own there, which the public code takes for a scaling
    language = release.modeling_phi.PhiForCausalLM(config)
    for part in (vision, language):
        for weight in part.parameters():
            weight.data += torch.randn(weight.shape) * 0.1
    state = {f"vision_encoder.{name}": one for name, one in vision.state_dict().items()}
    state |= {f"text_model.{name}": one for name, one in language.state_dict().items()}
    return SimpleNamespace(vision=vision.eval(), language=language.eval(), state=state)


@torch.no_grad()
def test_agrees_with_the_release_of_2024(release: SimpleNamespace, tmp_path: Path):
    config = small_config()
    public = public_release(release, **config["text"])
    backbone = ours_from(public.state, config, tmp_path)

    pixels = torch.randn(2, 3, 378, 378, generator=generator(6))
    theirs = public.vision(pixels)
    assert theirs.std() > 0.1
    torch.testing.assert_close(backbone.image_features(pixels), theirs, atol=1e-5, rtol=1e-5)

    short = backbone.prompt("open the drawer")
    for prompts in ([short], [short, backbone.prompt(SENTENCES[1])]):
        tokens = collate(prompts, backbone.pad_id, torch.device("cpu"))
        lrn = torch.randn(2 * WIDTH, generator=generator(7))
        vision = torch.randn(len(prompts), 2 * 729, 2 * WIDTH, generator=generator(8))
        embeddings = backbone.embed(tokens, vision, lrn)
        assert torch.equal(embeddings[tokens.is_lrn], lrn.expand(len(prompts), -1))
        raw = public.language.transformer(
            inputs_embeds=embeddings,
            attention_mask=tokens.attended.long(),
            position_ids=tokens.positions,
            use_cache=False,
        )[0]
        theirs = public.language.lm_head.ln(raw)
        ours = backbone.decode(tokens, vision, lrn)
        seen = tokens.attended
        assert theirs[seen].std() > 0.1
        torch.testing.assert_close(ours[seen], theirs[seen], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_native_sequence_is_that_of_the_release(release: SimpleNamespace, tmp_path: Path):
    config = small_config()
    public = public_release(release, **config["text"])
    backbone = ours_from(public.state, config, tmp_path)
    backbone.settings = BackboneSettings(layout=Layout.NATIVE, cameras=("static",), readout="max-pooling")

    class PublicTokenizer:
        bos_token_id = backbone.special_id("<|endoftext|>")

        def __call__(self, text: str, **options: object) -> object:
            return backbone.tokenizer(text, **options)

    asked: list[str] = []
    model = SimpleNamespace(
        device=torch.device("cpu"),
        text_model=public.language,
        generate=lambda _, prompt, **__: asked.append(prompt) or [""],
    )
    release.moondream.Moondream.answer_question(model, None, "open the drawer", tokenizer=PublicTokenizer())
    vision = torch.randn(1, 729, 2 * WIDTH, generator=generator(8))
    theirs = release.moondream.Moondream.input_embeds(model, asked[0], vision, PublicTokenizer())
    tokens = collate([backbone.prompt("open the drawer")], backbone.pad_id, torch.device("cpu"))
    assert torch.equal(backbone.embed(tokens, vision, torch.zeros(2 * WIDTH)), theirs)


@pytest.fixture
def newest(references: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The pure functions of June 2025."""
    names = ("config", "layers", "rope", "image_crops", "vision", "text")
    files = {name: public_file(references, NEWEST, f"moondream/torch/{name}.py") for name in names}
    return import_package(tmp_path, files, monkeypatch)


def newer_state(public: torch.nn.Module) -> dict[str, Tensor]:
    """Weights of 2025 under the names of 2024, as upstream's weights.py pairs them."""
    renamed = {}
    pairs = {
        "vision.patch_emb": "vision_encoder.encoder.model.visual.patch_embed.linear",
        "vision.pos_emb": "vision_encoder.encoder.model.visual.pos_embed",
        "vision.post_ln": "vision_encoder.encoder.model.visual.norm",
        "vision.blocks": "vision_encoder.encoder.model.visual.blocks",
        "vision.proj_mlp": "vision_encoder.projection.mlp",
        "text.wte": "text_model.transformer.embd.wte.weight",
        "text.post_ln": "text_model.lm_head.ln",
        "text.lm_head": "text_model.lm_head.linear",
        "text.blocks": "text_model.transformer.h",
    }
    for name, tensor in public.state_dict().items():
        new = next(name.replace(old, published, 1) for old, published in pairs.items() if name.startswith(old))
        if name.startswith("vision.blocks"):
            new = new.replace(".ln1.", ".norm1.").replace(".ln2.", ".norm2.")
        else:
            new = new.replace(".attn.qkv.", ".mixer.Wqkv.").replace(".attn.proj.", ".mixer.out_proj.")
        renamed[new] = tensor
    return renamed


@torch.no_grad()
def test_the_newest_code_is_the_same_but_for_its_mask(newest: SimpleNamespace, tmp_path: Path):
    config = small_config(num_layers=27)  # its pooling takes the number of layers for the side of the grid
    numbers = newest.config
    vision_config = numbers.VisionConfig(
        enc_dim=WIDTH, enc_ff_dim=48, proj_out_dim=2 * WIDTH, proj_inner_dim=8 * WIDTH, enc_n_heads=16
    )
    text_config = numbers.TextConfig(dim=128, ff_dim=96, n_layers=3, vocab_size=600, n_heads=2, n_kv_heads=2)
    # Its rotation is of 32 numbers whatever the width: heads of 64, as published.
    config["text"] |= {"hidden_size": 128, "num_attention_heads": 2}
    vision_config = numbers.VisionConfig(**{**vision_config.__dict__, "proj_out_dim": 128})
    torch.manual_seed(12)
    public = torch.nn.ModuleDict(
        {
            "vision": newest.vision.build_vision_model(vision_config, torch.float32),
            "text": newest.text.build_text_model(text_config, torch.float32),
        }
    )
    public["text"].wte.data.zero_()
    for weight in public.parameters():
        weight.data += torch.randn(weight.shape) * 0.1
    backbone = ours_from(newer_state(public), config, tmp_path)

    pixels = torch.randn(2, 3, 378, 378, generator=generator(6))
    features = newest.vision.vision_encoder(pixels, public["vision"], vision_config)
    theirs = torch.stack(
        [
            newest.vision.vision_projection(one, one.view(27, 27, WIDTH), public["vision"], vision_config)
            for one in features
        ]
    )
    torch.testing.assert_close(backbone.image_features(pixels), theirs, atol=1e-5, rtol=1e-5)

    tokens = collate([backbone.prompt("open the drawer")], backbone.pad_id, torch.device("cpu"))
    lrn = torch.randn(128, generator=generator(7))
    vision = torch.randn(1, 2 * 729, 128, generator=generator(8))
    length = tokens.ids.shape[1]
    causal = torch.ones(1, 1, length, length, dtype=torch.bool).tril()
    both_ways = causal.clone()
    both_ways[..., :730, :730] = True  # BOS and one image

    for block in public["text"].blocks:
        block.kv_cache = None

    def theirs_with(mask: Tensor) -> Tensor:
        embeddings = backbone.embed(tokens, vision, lrn)
        hidden = newest.text.text_decoder(embeddings, public["text"], mask, tokens.positions[0], text_config, lora=None)
        return newest.layers.layer_norm(hidden, public["text"].post_ln)

    ours = backbone.decode(tokens, vision, lrn)
    torch.testing.assert_close(ours, theirs_with(causal), atol=1e-5, rtol=1e-5)
    assert relative(theirs_with(both_ways), ours) > 0.05
