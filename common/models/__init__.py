"""The networks, and their files: `save` ours, `load` whatever a .h5 file holds."""

from common.models.files import leaves, load, logits_of, save, start_from

__all__ = ["leaves", "load", "logits_of", "save", "start_from"]
