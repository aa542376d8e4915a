"""The smallest real FLUX pipeline: the library's own classes with random weights, under a megabyte, quick on a CPU.

Imported only where torch is: see `tests/tasks/backends/diffusers_local/conftest.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5TokenizerFast

EMBEDDING = 32
LATENT_CHANNELS = 4
VAE_BLOCKS = 4
"""Four give the real factor of 8 between latents and pixels."""
ASCII = [chr(code) for code in range(33, 127)]


def save_tiny_flux(folder: Path) -> Path:
    """Write the pipeline into a folder, as a user's model would lie there; the same weights every time."""
    torch.manual_seed(0)
    clip_tokenizer, t5_tokenizer = _tokenizers()
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=_vae(),
        text_encoder=_clip(clip_tokenizer),
        tokenizer=clip_tokenizer,
        text_encoder_2=_t5(len(t5_tokenizer)),
        tokenizer_2=t5_tokenizer,
        transformer=_transformer(),
    ).save_pretrained(folder)
    return folder


def _tokenizers() -> tuple[CLIPTokenizer, T5TokenizerFast]:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    clip = CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=77)
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0), ("▁", -2.0), *((letter, -3.0) for letter in ASCII)]
    return clip, T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=64)


def _clip(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=EMBEDDING,
            intermediate_size=37,
            num_hidden_layers=2,
            num_attention_heads=4,
            projection_dim=EMBEDDING,
            max_position_embeddings=77,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            hidden_act="gelu",
        )
    )


def _t5(vocabulary: int) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=vocabulary,
            d_model=EMBEDDING,
            d_kv=8,
            d_ff=64,
            num_layers=2,
            num_heads=4,
            is_encoder_decoder=False,
            use_cache=False,
        )
    )


def _transformer() -> FluxTransformer2DModel:
    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * LATENT_CHANNELS,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=EMBEDDING,
        pooled_projection_dim=EMBEDDING,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=False,
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        sample_size=32,
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * VAE_BLOCKS,
        up_block_types=("UpDecoderBlock2D",) * VAE_BLOCKS,
        block_out_channels=(8,) * VAE_BLOCKS,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=4,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.0609,
        scaling_factor=1.5035,
    )


if __name__ == "__main__":
    save_tiny_flux(Path(sys.argv[1]))
