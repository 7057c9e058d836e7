"""Networks and the parts of their training steps: backbones, attention, noise, the body encoder."""
