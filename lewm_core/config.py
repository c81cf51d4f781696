"""The sizes of a LeWM (paper 3.2). Nothing here needs torch."""

from dataclasses import asdict, dataclass

from lewm_core.sources.episode import ACTION_DIM


@dataclass(frozen=True)
class LeWMConfig:
    """Sizes of a LeWM. The defaults are the paper's: ViT-Tiny, patches of 14 at 224 px, six predictor blocks."""

    image_size: int = 224
    patch_size: int = 14
    dim: int = 192  # D: emb, predictor and, unless encoder_dim says otherwise, ViT and CLS share it
    encoder_depth: int = 12
    encoder_heads: int = 3
    encoder_mlp: int = 768
    predictor_depth: int = 6
    predictor_heads: int = 16
    predictor_head_dim: int = 64
    predictor_mlp: int = 2048
    projector_hidden: int = 2048
    action_dim: int = ACTION_DIM
    action_smoothed: int = 10
    action_hidden: int = 768
    dropout: float = 0.1
    history: int = 3  # context frames the predictor sees
    encoder_dim: int | None = None  # width of the ViT where it is not D

    @property
    def width(self) -> int:
        """Of the ViT, its CLS and patch tokens."""
        return self.encoder_dim or self.dim

    def sizes(self) -> dict[str, int | float]:
        """The fields that are set, as a file's header holds them."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def __repr__(self) -> str:  # a field that is not set renames no file and no run
        return f"LeWMConfig({', '.join(f'{name}={value!r}' for name, value in self.sizes().items())})"


MODELS = {
    "paper": LeWMConfig(),
    # quick: the same code at 64 px, sized for two CPU cores
    "small": LeWMConfig(image_size=64, patch_size=16, dim=64, encoder_depth=4, encoder_heads=4, encoder_mlp=256,
                        predictor_depth=3, predictor_heads=4, predictor_head_dim=32, predictor_mlp=256,
                        projector_hidden=256, action_hidden=256),
    # smoke: small enough for a test
    "nano": LeWMConfig(image_size=32, patch_size=8, dim=32, encoder_depth=2, encoder_heads=2, encoder_mlp=64,
                       predictor_depth=2, predictor_heads=2, predictor_head_dim=16, predictor_mlp=64,
                       projector_hidden=64, action_hidden=64),
}
