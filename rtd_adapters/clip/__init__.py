"""CLIP models: backbones, text towers, and what image towers see. It knows nothing of RTD."""
