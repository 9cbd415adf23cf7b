"""Images that stay in files: ImageNet's folders and records, decoding, the feed."""
