"""Load many architectures of transformers and timm with random weights, adapt them, and show what came out.

    python -m tests.sweep_encoders                      all: some minutes
    python -m tests.sweep_encoders timm                 one library
    python -m tests.sweep_encoders transformers bert t5     some names

For each architecture: features equal to the model's own hidden or pooled output; every layer of ``encoder.layers`` read
by ``at_layer``; LoRA on all layers alive (a gradient at every adapter); merged equal to unmerged equal to the original.
An outcome is ``right``; ``right, no LoRA`` where LoRA is refused with a sentence; ``right, dead named`` where a part is
out of use and the trainer names its adapters; ``right, zero here`` where all adapters are reached and the gradient of
some is zero on the made-up inputs; ``refused`` with the sentence of the error; or ``WRONG``. Exit 1 if anything is
wrong.
"""

import sys
import traceback
import warnings

import torch
from torch import nn

from adapt import encoders
from adapt.engine.learning import is_adapter

SMALL = {
    "hidden_size": 16, "d_model": 16, "dim": 16, "emb_dim": 16, "embed_dim": 16, "n_embd": 16, "embedding_size": 16,
    "word_embed_proj_dim": 16, "num_hidden_layers": 2, "n_layers": 2, "n_layer": 2, "num_layers": 2,
    "encoder_layers": 2, "decoder_layers": 2, "num_decoder_layers": 2, "num_attention_heads": 2, "n_heads": 2,
    "n_head": 2, "num_heads": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_key_value_heads": 2,
    "intermediate_size": 32, "d_ff": 32, "d_kv": 8, "head_dim": 8, "ffn_dim": 32, "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32, "hidden_dim": 32, "vocab_size": 64, "max_position_embeddings": 64, "n_positions": 64,
    "image_size": 32, "patch_size": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "decoder_start_token_id": 1, "type_vocab_size": 2, "rotary_dim": 4,
}  # fmt: skip
STAGES = {"hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 1, 1], "embed_dim": 8}
WAVES = {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
# by kind of input; the settings are those beside SMALL
TEXT: dict[str, dict] = {
    "albert": {"embedding_size": 8}, "bert": {}, "bert-generation": {},
    "big_bird": {"attention_type": "original_full"}, "biogpt": {}, "bloom": {}, "camembert": {},
    "canine": {"num_hash_buckets": 16, "num_hash_functions": 2}, "codegen": {}, "convbert": {"head_ratio": 1},
    "ctrl": {"dff": 32}, "data2vec-text": {}, "deberta": {}, "deberta-v2": {}, "distilbert": {}, "electra": {},
    "ernie": {}, "esm": {"vocab_size": 64, "pad_token_id": 0, "mask_token_id": 3}, "falcon": {}, "flaubert": {},
    "fnet": {}, "gemma": {}, "gpt2": {}, "gpt_bigcode": {},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]}, "gpt_neox": {}, "gptj": {}, "ibert": {},
    "layoutlm": {}, "led": {"attention_window": 4, "max_encoder_position_embeddings": 64}, "llama": {},
    "longformer": {"attention_window": 4}, "luke": {"entity_vocab_size": 8, "entity_emb_size": 8}, "m2m_100": {},
    "mamba": {"state_size": 4}, "marian": {}, "mbart": {}, "megatron-bert": {}, "mistral": {},
    "mobilebert": {"intra_bottleneck_size": 16, "true_hidden_size": 16}, "modernbert": {}, "mpnet": {}, "mpt": {},
    "mt5": {}, "nystromformer": {"num_landmarks": 8, "segment_means_seq_len": 8}, "openai-gpt": {}, "opt": {},
    "pegasus": {}, "phi": {}, "qwen2": {}, "qwen3": {}, "rembert": {"input_embedding_size": 16}, "roberta": {},
    "roberta-prelayernorm": {}, "roc_bert": {}, "roformer": {}, "squeezebert": {}, "stablelm": {}, "t5": {},
    "umt5": {}, "xglm": {}, "xlm": {}, "xlm-roberta": {}, "xlnet": {"d_head": 8, "d_inner": 32},
    "xmod": {"default_language": "en_XX"}, "bart": {}, "blenderbot": {},
    "switch_transformers": {"num_sparse_encoder_layers": 1, "num_experts": 2},
}  # fmt: skip
IMAGES: dict[str, dict] = {
    "beit": {}, "bit": {**STAGES, "num_groups": 1}, "clip_vision_model": {}, "convnext": {**STAGES, "image_size": 64},
    "convnextv2": {**STAGES, "image_size": 64}, "data2vec-vision": {}, "deit": {}, "dinov2": {},
    "dinov2_with_registers": {}, "efficientnet": {"image_size": 64, "width_coefficient": 1.0, "hidden_dim": 1280},
    "focalnet": STAGES, "hiera": {}, "ijepa": {}, "levit": {"image_size": 224, "patch_size": 16}, "mobilenet_v1": {},
    "mobilenet_v2": {}, "mobilevit": {"hidden_sizes": [16, 16, 16], "image_size": 256},
    "mobilevitv2": {"image_size": 256}, "poolformer": STAGES, "pvt": {"image_size": 224}, "regnet": STAGES,
    "resnet": STAGES, "segformer": {}, "siglip_vision_model": {}, "swiftformer": {},
    "swin": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4, "patch_size": 4},
    "swinv2": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4, "patch_size": 4}, "vit": {},
    "vit_msn": {}, "vitdet": {}, "yolos": {"image_size": [32, 32], "num_detection_tokens": 2},
}  # fmt: skip
SOUND: dict[str, dict] = {
    "audio-spectrogram-transformer": {"max_length": 32, "num_mel_bins": 16, "patch_size": 8},
    "data2vec-audio": {**WAVES, "conv_dim": [8] * 7}, "hubert": {**WAVES, "conv_dim": [8] * 7},
    "sew": {**WAVES, "conv_dim": [8] * 13}, "unispeech": {**WAVES, "conv_dim": [8] * 7},
    "wav2vec2": {**WAVES, "conv_dim": [8] * 7}, "wav2vec2-conformer": {**WAVES, "conv_dim": [8] * 7},
    "wavlm": {**WAVES, "conv_dim": [8] * 7},
    "speech_to_text": {"input_feat_per_channel": 8, "max_source_positions": 64, "conv_channels": 16},
    "whisper": {"max_source_positions": 16, "num_mel_bins": 8},
}  # fmt: skip
TIMM: dict[str, dict] = {
    "beit_base_patch16_224": {"vit": 1}, "caformer_s18": {}, "cait_xxs24_224": {"vit": 1},
    "coat_lite_tiny": {"img_size": 64}, "convit_tiny": {"img_size": 32, "patch_size": 16, "depth": 2},
    "convmixer_768_32": {}, "convnext_atto": {}, "crossvit_tiny_240": {}, "cspresnet50": {}, "davit_tiny": {},
    "deit3_small_patch16_224": {"vit": 1}, "deit_tiny_distilled_patch16_224": {"vit": 1}, "densenet121": {},
    "dla34": {}, "dm_nfnet_f0": {}, "dpn68": {}, "eca_nfnet_l0": {}, "edgenext_xx_small": {},
    "efficientformer_l1": {"img": 224}, "efficientnet_b0": {}, "efficientvit_b0": {},
    "eva02_tiny_patch14_224": {"vit": 1}, "fastvit_t8": {}, "focalnet_tiny_srf": {}, "gernet_s": {},
    "ghostnet_100": {}, "hardcorenas_a": {}, "hgnet_tiny": {}, "hrnet_w18_small": {}, "inception_v3": {"img": 96},
    "levit_128s": {"img": 224}, "lcnet_050": {}, "maxvit_rmlp_pico_rw_256": {"img": 256},
    "mixer_s32_224": {"img": 224}, "mobilenetv2_035": {}, "mobilenetv3_small_050": {}, "mobilevit_xxs": {},
    "mvitv2_tiny": {"img": 224}, "nf_resnet26": {}, "pit_ti_224": {"img": 224}, "poolformer_s12": {}, "pvt_v2_b0": {},
    "regnetx_002": {}, "repvgg_a0": {}, "res2net50_14w_8s": {}, "resmlp_12_224": {"img": 224}, "resnet18": {},
    "resnetv2_50": {}, "rexnet_100": {}, "selecsls42b": {}, "semnasnet_075": {}, "seresnet18": {},
    "swin_tiny_patch4_window7_224": {"img": 224}, "swinv2_tiny_window8_256": {"img": 256}, "tf_efficientnet_b0": {},
    "tinynet_e": {}, "twins_svt_small": {"img": 224}, "vgg11": {}, "visformer_tiny": {"img": 224},
    "vit_tiny_patch16_224": {"vit": 1}, "vovnet39a": {}, "xception41": {}, "xcit_nano_12_p16_224": {"img": 224},
}  # fmt: skip
FAST = ["bert", "albert", "t5", "layoutlm", "convnext", "resnet", "swin", "whisper", "wav2vec2"]
FAST_TIMM = ["vit_tiny_patch16_224", "beit_base_patch16_224", "lcnet_050", "mobilenetv3_small_050"]


def small_transformer(kind: str) -> nn.Module:
    """Return a small model of transformers with random weights."""
    from transformers import AutoConfig, AutoModel

    wishes = {**TEXT, **IMAGES, **SOUND}[kind]
    known = AutoConfig.for_model(kind).to_dict()
    config = AutoConfig.for_model(kind, **{k: v for k, v in SMALL.items() if type(known.get(k)) is type(v)} | wishes)
    torch.manual_seed(0)
    return stirred(AutoModel.from_config(config))


def stirred(model: nn.Module) -> nn.Module:
    """Return `model` with noise on all weights: a branch that starts at zero would hide everything behind it."""
    g = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():
            if p.is_floating_point():
                p.add_(0.05 * torch.randn(p.shape, generator=g))
    return model


def inputs_of(kind: str, config) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    if kind in TEXT:
        mask = torch.ones(2, 8, dtype=torch.int64)
        mask[0, 6:] = 0
        return {"input_ids": torch.randint(3, 50, (2, 8), generator=g), "attention_mask": mask}
    if kind in IMAGES:
        size = config.to_dict().get("image_size", 64)
        size = min(size) if isinstance(size, list | tuple) else max(size, 64 if kind.startswith("mobilenet") else 32)
        return {"pixel_values": torch.randn(2, 3, size, size, generator=g)}
    if kind == "whisper":
        return {"input_features": torch.randn(2, 8, 32, generator=g)}
    if kind == "speech_to_text":
        return {"input_features": torch.randn(2, 32, 8, generator=g)}
    if kind == "audio-spectrogram-transformer":
        return {"input_values": torch.randn(2, 32, 16, generator=g)}
    return {"input_values": torch.randn(2, 2000, generator=g)}


def mean_by_hand(states: torch.Tensor, mask: torch.Tensor | None, dim: int) -> torch.Tensor:
    """Return the mean over places, row by row."""
    if states.ndim == 4:
        states = states.permute(0, 2, 3, 1) if states.shape[1] == dim else states
        states = states.reshape(len(states), -1, dim)
    rows = []
    for number, row in enumerate(states):
        kept = row if mask is None or mask.shape[1] != len(row) else row[mask[number].bool()]
        rows.append(kept.mean(0) if kept.ndim == 2 else kept)
    return torch.stack(rows)


def check_transformer(kind: str) -> str:
    model = small_transformer(kind).eval()
    inputs = inputs_of(kind, model.config)
    part = model.get_encoder() if model.config.to_dict().get("is_encoder_decoder") else model
    with torch.no_grad():
        own = part(**inputs).last_hidden_state
    try:
        encoder = encoders.from_transformers(model).eval()
    except ValueError as error:
        assert "`dim=`" in str(error), error
        dim = own.shape[1 if own.ndim == 4 else -1]
        encoder = encoders.from_transformers(model, dim=dim).eval()
    if own.shape[1 if own.ndim == 4 and own.shape[1] == encoder.dim else -1] != encoder.dim:
        refused(lambda: encoder(inputs))
        encoder = encoders.from_transformers(model, dim=own.shape[1 if own.ndim == 4 else -1]).eval()
    expected = mean_by_hand(own, inputs.get("attention_mask"), encoder.dim)
    return check_encoder(encoder, inputs, expected)


def refused(call) -> None:
    """Follow the remedy of an error alone: the error must come."""
    try:
        call()
    except ValueError as error:
        assert "dim=" in str(error), error
        return
    raise AssertionError("expected an error for a wrong feature size")


def check_timm(name: str) -> str:
    options = dict(TIMM[name])
    size = options.pop("img", 64)
    if options.pop("vit", None):
        patch = 14 if "patch14" in name else 16
        options, size = {"img_size": 2 * patch, "embed_dim": 24, "depth": 2, "num_heads": 2}, 2 * patch
    size = options.get("img_size", size)
    if "crossvit" in name:
        size = 240
    torch.manual_seed(0)
    encoder = encoders.from_timm(name, **options).eval()
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        model = stirred(encoder.double().body)
        expected = model.forward_head(model.forward_features(x), pre_logits=True)
    return check_encoder(encoder, x, expected)


def check_encoder(encoder: encoders.Encoder, inputs, expected: torch.Tensor) -> str:
    """Raise an AssertionError where anything is wrong; return a note."""
    with torch.no_grad():
        before = encoder(inputs)
    torch.testing.assert_close(before, expected, rtol=1e-4, atol=1e-5)
    assert before.shape[1] == encoder.dim, "dim"
    note = layers_read(encoder, inputs)
    weights = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    try:
        names = encoders.lora(encoder, 2, alpha=2)
    except ValueError as error:
        return f"{note}; LoRA refused: {str(error)[:90]}"
    with torch.no_grad():
        torch.testing.assert_close(encoder(inputs), before, rtol=1e-4, atol=1e-5)
    adapters = {name: p for name, p in encoder.named_parameters() if is_adapter(name)}
    with torch.no_grad():
        for p in adapters.values():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    out = encoder(inputs)
    (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    dead = [name for name, p in adapters.items() if p.grad is None]
    still = [name for name, p in adapters.items() if p.grad is not None and not p.grad.any()]
    with torch.no_grad():
        out = encoder(inputs)  # attention takes another path where gradients are asked for
    merged = True
    try:
        encoders.merge(encoder)
    except ValueError as error:
        merged = False
        note += f"; merge refused: {str(error)[:60]}"
    with torch.no_grad():
        torch.testing.assert_close(encoder(inputs), out, rtol=1e-3, atol=1e-4)
        encoders.unmerge(encoder)
        assert torch.equal(encoder(inputs), out), "unmerged"
        for p in adapters.values():
            p.zero_()
        torch.testing.assert_close(encoder(inputs), before, rtol=1e-4, atol=1e-5)
    for name, p in encoder.named_parameters():
        if name in weights:
            assert torch.equal(p, weights[name]), name
    assert merged or "refused" in note
    if dead:
        note += f"; {len(dead) // 2} of {len(names)} adapted layers dead, named by fit: {dead[0]}"
    if still:
        note += f"; {len(still)} adapters without gradient on this input: {still[0]}"
    return f"{len(names)} layers adapted" + note


def layers_read(encoder: encoders.Encoder, inputs) -> str:
    names = list(encoder.layers)
    assert names, "no layers"
    refused = []
    for name in {names[0], names[len(names) // 2], names[-1]}:
        try:
            part = encoders.at_layer(encoder, name, example=inputs)
            with torch.no_grad():
                assert part(inputs).shape == (2, part.dim), name
        except ValueError as error:
            refused.append(f"at_layer {name} refused: {str(error)[:70]}")
    return f"; {len(names)} layers" + "".join(f"; {r}" for r in refused)


def outcome(check, name: str) -> tuple[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            note = check(name)
        except (ValueError, TypeError) as error:
            where = traceback.extract_tb(error.__traceback__)[-1].filename
            return ("refused" if "/adapt/" in where else "WRONG"), f"{type(error).__name__}: {str(error)[:200]}"
        except Exception as error:
            return "WRONG", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    for word, found in (
        ("LoRA refused", "right, no LoRA"),
        ("dead", "right, dead named"),
        ("without gradient", "right, zero here"),
    ):
        if word in note:
            return found, note
    return "right", note


def main(arguments: list[str]) -> int:
    wanted = arguments[1:]
    tables = {"transformers": (check_transformer, [*TEXT, *IMAGES, *SOUND]), "timm": (check_timm, [*TIMM])}
    counts: dict[str, int] = {}
    for library in arguments[:1] or tables:
        check, names = tables[library]
        for name in wanted or names:
            found, note = outcome(check, name)
            counts[f"{library} {found}"] = counts.get(f"{library} {found}", 0) + 1
            print(f"{library:13}{name:34}{found:19}{note}", flush=True)
    print(counts)
    return any("WRONG" in found for found in counts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
