"""Modules of tools/train_demo.py: text, tokenizer, network, training and the written folder."""
