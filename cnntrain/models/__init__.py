"""Networks: from-scratch convnets, pretrained backbones, heads, and models as files."""
